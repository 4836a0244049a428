/**
 * An element. `attributes`: `class`, `data-…` and the like; a function under `on…` listens; true stands alone, false and null
 * are left out. Children: nodes or texts; null is left out.
 */
export const h = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

const svgSpace = 'http://www.w3.org/2000/svg';

export const svg = (name, attributes = {}, ...children) => {
  const element = document.createElementNS(svgSpace, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

/** Puts other children in place and leaves the focus where it was: on what has the same `data-key`. */
export const show = (place, ...children) => {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  if (key !== undefined) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
};

export const card = (title, size, ...children) =>
  h('section', { class: `card ${size}`, 'aria-label': title }, h('header', {}, h('h2', {}, title)), children);

/** A command with a button that copies it. */
export const command = (text) => {
  const button = h(
    'button',
    { class: 'small', type: 'button', 'data-key': `copy ${text}`, 'aria-label': `Copy: ${text}` },
    'Copy',
  );
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Select it';
    }
    setTimeout(() => {
      button.textContent = 'Copy';
    }, 2000);
  });
  return h('div', { class: 'command' }, h('code', {}, text), button);
};

export const tag = (kind, text) => h('span', { class: `tag ${kind}` }, text);
