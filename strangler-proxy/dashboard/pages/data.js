import { card, command, h, show, tag } from './dom.js';
import { ago, count, plural, took } from './format.js';
import { isFresh } from './state.js';

const figure = (name, value, more = null, key = null) =>
  h('div', {}, h('dt', {}, name), h('dd', { 'data-figure': key }, value, more === null ? null : h('small', {}, more)));

const verified = (last, nowMs) =>
  last === null
    ? 'never'
    : `${count(last.rowsCompared)} rows, ${plural(last.differences, 'difference')}, ${ago(last.finishedAt, nowMs)}`;

/** How far the copy is, what lies in the way, and who writes. */
export const createData = () => {
  const place = h('div', {});
  const root = card('Data', 'half', place);
  const draw = (view, nowMs) => {
    const { figures } = view;
    const measured = figures?.measured ?? null;
    const pipe = measured?.pipe ?? null;
    if (measured === null || pipe === null) {
      show(
        place,
        h('p', { class: 'muted' }, measured === null ? 'Not measured yet.' : 'No pipe is installed at this stage.'),
      );
      return;
    }
    // Nothing is copied on the way back: the rows are there.
    const isCopied = measured.direction === 'forward';
    const lagging = pipe.lagMs > 1000;
    const age = isFresh(figures, nowMs) ? null : `as of ${ago(figures.at, nowMs)}`;
    show(
      place,
      h(
        'dl',
        { class: 'figures' },
        figure(
          'Lag',
          `${lagging ? '! ' : ''}${took(pipe.lagMs)}`,
          age ?? `${count(pipe.unpublished + pipe.unapplied)} changes on the way`,
          'lag',
        ),
        figure(
          'Dead letters',
          `${pipe.deadLetters > 0 ? '✕ ' : ''}${count(pipe.deadLetters)}`,
          pipe.deadLetters > 0 ? 'shut the gates' : 'none',
          'dead-letters',
        ),
        figure('Queues consumed', `${pipe.queues.consumed} of ${pipe.queues.of}`),
        measured.wayBack === null
          ? null
          : figure(
              'Way back',
              measured.wayBack.safe ? '✓ quick' : '! behind',
              `${took(measured.wayBack.lagMs)} of ${took(measured.wayBack.boundMs)}`,
            ),
      ),
      pipe.deadLetters > 0
        ? [
            h('p', { class: 'muted' }, 'Look at them, mend the cause, then replay:'),
            ...view.deadLetterCommands.map(command),
          ]
        : null,
      h(
        'div',
        { class: 'scroll' },
        h(
          'table',
          {},
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              ['Table', ...(isCopied ? ['Copied'] : []), 'Last verified'].map((name) =>
                h('th', { scope: 'col' }, name),
              ),
            ),
          ),
          h(
            'tbody',
            {},
            pipe.tables.map(({ table, backfill, parked, lastVerified }) =>
              h(
                'tr',
                {},
                h('td', {}, table, parked > 0 ? h('p', {}, `${plural(parked, 'change')} wait`) : null),
                isCopied
                  ? h(
                      'td',
                      {},
                      backfill.state === 'done' ? tag('good', '✓ done') : tag('', backfill.state),
                      ` ${count(backfill.rowsRead)} rows`,
                    )
                  : '',
                h('td', {}, verified(lastVerified, nowMs)),
              ),
            ),
          ),
        ),
      ),
      h(
        'p',
        { class: 'muted' },
        `Flows from the ${measured.direction === 'forward' ? 'monolith to the service' : 'service to the monolith'}.`,
      ),
    );
  };
  return { root, draw };
};

export const createWriters = () => {
  const place = h('div', { class: 'scroll' });
  const root = card('Who writes the tables', '', place);
  const draw = (view) => {
    const writers = view.figures?.measured?.writers ?? null;
    root.hidden = writers === null || writers.length === 0;
    if (root.hidden) return;
    show(
      place,
      h(
        'table',
        { class: 'stacked' },
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            ['User', 'Request', 'Tables', 'Changes', 'Last'].map((name) => h('th', { scope: 'col' }, name)),
          ),
        ),
        h(
          'tbody',
          {},
          writers.map(({ user, host, request, tables, changes, lastAt }) =>
            h(
              'tr',
              {},
              h('td', {}, `${user}@${host}`),
              h('td', {}, request ?? '–'),
              h('td', {}, tables.join(', ')),
              h('td', { class: 'number' }, count(changes)),
              h('td', { class: 'number' }, lastAt.slice(0, 19)),
            ),
          ),
        ),
      ),
    );
  };
  return { root, draw };
};
