import { ask } from './api.js';
import { card, command, h, show, tag } from './dom.js';
import { ago, count, plural } from './format.js';

const bodyText = (body) => {
  if (body === undefined || body === null) return '';
  if (body.kind === 'json') return JSON.stringify(body.value, null, 2);
  if (body.kind === 'text' || body.kind === 'cut') return body.text;
  return `(${body.kind})`;
};

/** Lines that the other side does not have stand out; a sign stands beside the colour. */
export const markLines = (text, other) => {
  const left = new Map();
  for (const line of other.split('\n')) left.set(line.trim().replace(/,$/, ''), true);
  return text.split('\n').map((line) => ({ line, isOnlyHere: !left.has(line.trim().replace(/,$/, '')) }));
};

const side = (name, answer, other) =>
  h(
    'div',
    {},
    h('b', {}, name),
    ` ${answer.status}, ${answer.latencyMs} ms`,
    h(
      'pre',
      { tabindex: 0, 'aria-label': `${name}'s answer` },
      markLines(bodyText(answer.body), bodyText(other.body)).flatMap(({ line, isOnlyHere }) =>
        isOnlyHere ? [h('mark', {}, `≠ ${line}`), '\n'] : [`  ${line}\n`],
      ),
    ),
  );

const valueText = (value) => (value === undefined ? '(not there)' : JSON.stringify(value));

const exampleView = (example) => [
  h(
    'p',
    { class: 'path' },
    h('code', {}, `${example.request.method} ${example.request.path}`),
    ` as ${example.role}, ${example.at.slice(0, 19)}`,
  ),
  h(
    'div',
    { class: 'scroll' },
    h(
      'table',
      { class: 'values' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ['Where', 'Monolith', 'Service'].map((name) => h('th', { scope: 'col' }, name)),
        ),
      ),
      h(
        'tbody',
        {},
        example.differences.map(({ at, monolith, service }) =>
          h(
            'tr',
            {},
            h('td', {}, h('code', {}, at)),
            h('td', {}, h('code', {}, valueText(monolith))),
            h('td', {}, h('code', {}, valueText(service))),
          ),
        ),
      ),
    ),
  ),
  h(
    'div',
    { class: 'diff' },
    side('Monolith', example.monolith, example.service),
    side('Service', example.service, example.monolith),
  ),
  command(`npx strangler shadow replay ${example.slice} ${example.id}`),
];

/** What the two sides answer differently, by route and place in the answer. */
export const createMismatches = () => {
  const place = h('div', {});
  const example = h('div', { 'aria-live': 'polite' });
  const root = card('Mismatches', '', place, example);
  const note = h('p', {});
  root.querySelector('header').append(note);
  let shown = null;

  const open = async (slice, id) => {
    if (shown === id) {
      shown = null;
      example.replaceChildren();
      return;
    }
    shown = id;
    try {
      example.replaceChildren(...exampleView(await ask('GET', `slices/${slice}/examples/${id}`)));
    } catch (error) {
      example.replaceChildren(h('p', { class: 'fault' }, error.message));
    }
  };

  const row =
    (slice, nowMs) =>
    ({ id, endpoint, path, kind, count: times, last, accepted, examples }) =>
      h(
        'tr',
        {},
        h('td', {}, h('b', {}, endpoint), h('p', { class: 'path' }, h('code', {}, path), ` ${kind}`)),
        h('td', { class: 'number' }, count(times)),
        h('td', { class: 'number' }, ago(last, nowMs)),
        h(
          'td',
          {},
          accepted === null ? tag('bad', '✕ unexplained') : tag('good', `✓ accepted by ${accepted.by}`),
          accepted === null ? null : h('p', {}, accepted.reason),
        ),
        h(
          'td',
          {},
          examples.length === 0
            ? h('span', { class: 'muted' }, 'no example kept')
            : h(
                'button',
                {
                  type: 'button',
                  class: 'small',
                  'data-key': `example ${id}`,
                  onclick: () => open(slice, examples[0]),
                  'aria-label': `Side by side: ${endpoint} ${path}`,
                },
                'Side by side',
              ),
        ),
      );

  const draw = (state, view, nowMs) => {
    const { slice, shadow, comparedPercent } = view;
    const report = state.mismatches.get(slice)?.report;
    note.textContent =
      shadow === null
        ? view.stage === 'shadow' || view.stage === 'canary'
          ? 'the slice file asks for no comparison'
          : `nothing is compared at stage ${view.stage}`
        : comparedPercent === 0
          ? 'comparing is switched off'
          : `${count(shadow.compared)} compared in the last minute, ${count(shadow.different)} different`;
    if (!state.hasReport)
      return show(place, h('p', { class: 'muted' }, 'No report is kept: the proxy has no REDIS_URL.'));
    if (report === undefined) return show(place, h('p', { class: 'muted' }, 'Not read yet.'));
    if (report === null)
      return show(place, h('p', {}, tag('warn', '! Redis does not answer'), ' The report cannot be read now.'));
    const { groups, comparisons, unexplained } = report;
    const summary = `${plural(comparisons, 'comparison')} in the report, ${count(unexplained)} unexplained.`;
    if (groups.length === 0)
      return show(place, h('p', {}, comparisons === 0 ? '' : tag('good', '✓ none'), ` ${summary}`));
    return show(
      place,
      h('p', {}, summary),
      h(
        'div',
        { class: 'scroll' },
        h(
          'table',
          { class: 'stacked' },
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              ['Where', 'Seen', 'Last', 'State', ''].map((name) => h('th', { scope: 'col' }, name)),
            ),
          ),
          h('tbody', {}, groups.map(row(slice, nowMs))),
        ),
      ),
    );
  };
  return {
    root,
    draw,
    forget: () => {
      shown = null;
      example.replaceChildren();
    },
  };
};
