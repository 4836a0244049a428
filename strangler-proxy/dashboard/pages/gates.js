import { ask } from './api.js';
import { askFirst } from './ask-dialog.js';
import { card, command, h, show, tag } from './dom.js';
import { ago, took } from './format.js';
import { isFresh } from './state.js';

const gateRow = ({ gate, state, found, bound, todo }) =>
  h(
    'tr',
    {},
    h('td', {}, tag(state, state === 'open' ? '✓ open' : '✕ shut')),
    h('td', {}, h('b', {}, gate)),
    h('td', {}, found, todo === null ? null : h('p', {}, `→ ${todo}`)),
    h('td', { class: 'muted' }, bound),
  );

export const gatesTable = (verdicts) =>
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
          ['', 'Gate', 'Found', 'Bound'].map((name) => h('th', { scope: 'col' }, name)),
        ),
      ),
      h('tbody', {}, verdicts.map(gateRow)),
    ),
  );

const canaryPart = ({ percent, state, why, lacks, bakedMs, bakeMs, steps, steering }) => [
  h(
    'p',
    {},
    tag(state === 'stopped' ? 'warn' : state === 'baked' ? 'good' : '', `canary ${state}`),
    ` ${percent} % of steps ${steps.join(', ')} — ${why}`,
  ),
  h('p', { class: 'muted' }, `Baked ${took(bakedMs)} of ${took(bakeMs)}; steered by ${steering}.`),
  lacks.length === 0 ? null : h('p', { class: 'muted' }, `Lacks ${lacks.join('; ')}.`),
];

const orderPart = ({ what, to, by, state, lines, at }, nowMs) => {
  const [kind, word] = {
    asked: ['', '… asked'],
    running: ['', '… under way'],
    done: ['good', '✓ done'],
    refused: ['warn', '! refused'],
    failed: ['bad', '✕ failed'],
  }[state];
  return [
    h('p', {}, tag(kind, word), ` ${what} to ${to}, ordered by ${by}, ${ago(at, nowMs)}`),
    lines.length === 0 ? null : h('div', { class: 'scroll' }, h('pre', {}, lines.slice(-8).join('\n'))),
  ];
};

/** What keeps the next stage shut, and how to get there and back. */
export const createGates = ({ person }) => {
  const place = h('div', {});
  const root = card('Next step', '', place);
  const note = h('p', {});
  root.querySelector('header').append(note);

  const order = async (view, what, into) => {
    const gates = view.figures?.measured?.gates;
    await askFirst({
      title: `${view.slice}: ${what === 'advance' ? 'advance' : 'go back'} to ${into}`,
      body: [
        h('p', { class: 'change' }, view.stage, h('span', { 'aria-label': 'becomes' }, '→'), into),
        h('p', {}, consequence(what, into, view.stage)),
        what === 'advance' && gates ? gatesTable(gates.verdicts) : null,
      ],
      button: what === 'advance' ? `Advance to ${into}` : `Go back to ${into}`,
      act: (reason) => ask('POST', `slices/${view.slice}/orders`, { what, reason, basedOn: view.change?.id ?? 'none' }),
    });
  };
  const step = (view, what, { into, command: line }, canOrder) =>
    canOrder && into !== 'complete'
      ? h(
          'button',
          {
            type: 'button',
            class: what === 'advance' ? 'primary' : '',
            'data-key': what,
            onclick: () => order(view, what, into),
          },
          what === 'advance' ? `Advance to ${into}…` : `Go back to ${into}…`,
        )
      : h(
          'div',
          {},
          h('span', { class: 'muted' }, what === 'advance' ? `Advance to ${into}:` : `Go back to ${into}:`),
          command(line),
        );

  const draw = (view, nowMs) => {
    const { figures, canary, next, back, order: last } = view;
    const fresh = isFresh(figures, nowMs);
    const measured = figures?.measured ?? null;
    note.textContent =
      figures === null ? 'no figures yet' : `${fresh ? 'measured' : 'no figures since'} ${ago(figures.at, nowMs)}`;
    const isBusy =
      last !== null && (last.state === 'running' || (last.state === 'asked' && nowMs - Date.parse(last.at) < 15_000));
    const canOrder = person.role === 'admin' && fresh && figures.takesOrders && !isBusy;
    show(
      place,
      fresh
        ? null
        : h(
            'p',
            {},
            tag('warn', '! not measured now'),
            ' Gates, lag and dead letters are measured by a process with the databases’ credentials. Start it with ',
            h('code', {}, `npx strangler publish ${view.slice} --orders`),
            '.',
          ),
      figures?.failure ? h('p', {}, tag('bad', '✕ could not be measured'), ` ${figures.failure}`) : null,
      canary === null ? null : canaryPart(canary),
      measured?.gates
        ? [h('p', {}, 'Into ', h('b', {}, measured.gates.into), ':'), gatesTable(measured.gates.verdicts)]
        : null,
      h(
        'div',
        { class: 'steps' },
        next === null ? null : step(view, 'advance', next, canOrder),
        back === null ? null : step(view, 'rollback', back, canOrder),
      ),
      person.role === 'admin' || !figures?.takesOrders
        ? null
        : h('p', { class: 'muted' }, 'Stage changes are ordered here by admins.'),
      last === null ? null : orderPart(last, nowMs),
    );
  };
  return { root, draw };
};

const consequence = (what, into, from) => {
  if (what === 'rollback') {
    return from === 'writes'
      ? 'The writes move back to the monolith by a cut-over: proxies hold new writes for a moment, and none is lost.'
      : 'One stage back; no write is lost.';
  }
  return (
    {
      sync: 'Triggers capture every change of the slice’s tables, and all rows are copied to the service’s database.',
      shadow:
        'Every row is compared first. Then copies of live requests are answered by both sides, and the answers compared.',
      canary:
        'The service begins to answer a share of the users. The share steps up by itself while its figures stay good.',
      reads: 'The service answers all reads.',
      writes: 'The writes move to the service by a cut-over: proxies hold new writes for a moment, and none is lost.',
    }[into] ?? ''
  );
};
