import { h, tag } from './dom.js';

const marks = { bad: '✕', warn: '!' };

/** What is away at the moment, and what the proxies do meanwhile. Spoken aloud when it changes, and not while it stays. */
export const createTroubles = (place) => {
  let shown = '[]';
  const draw = ({ troubles }) => {
    const next = JSON.stringify(troubles);
    if (next === shown) return;
    shown = next;
    place.replaceChildren(
      ...troubles.map(({ level, what, text, meanwhile }) =>
        h(
          'p',
          { class: `trouble ${level}`, 'data-trouble': what },
          tag(level, `${marks[level]} away`),
          h('span', {}, h('strong', {}, text), ` ${meanwhile}`),
        ),
      ),
    );
  };
  return { draw };
};
