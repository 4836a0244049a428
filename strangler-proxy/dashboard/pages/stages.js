import { card, h, show, tag } from './dom.js';

const names = ['monolith', 'sync', 'shadow', 'canary', 'reads', 'writes', 'complete'];
const meanings = {
  monolith: 'Nothing is moved yet.',
  sync: 'Data is copied and kept in step; the monolith answers everything.',
  shadow: 'Both sides hold the same data. Copies of live requests are compared where the slice file asks for it.',
  canary: 'The service answers a share of users; the share steps up by itself while its figures are good.',
  reads: 'The service answers all reads; the monolith takes the writes.',
  writes: 'The service takes reads and writes; the monolith is kept in step for the way back.',
  complete: 'The service has the slice for good.',
};

export const createStages = () => {
  const list = h('ol', { class: 'stages' });
  const meaning = h('p', { class: 'muted' });
  const root = card('Stage', '', list);
  root.querySelector('header').append(meaning);
  const draw = ({ stage }) => {
    const at = names.indexOf(stage);
    meaning.textContent = meanings[stage];
    show(
      list,
      names.map((name, index) => {
        const [kind, mark, word] =
          index < at ? ['past', '✓', 'done: '] : index === at ? ['now', '●', 'now: '] : ['next', '', 'to come: '];
        return h(
          'li',
          { class: kind, 'aria-current': index === at ? 'step' : null },
          h('span', { class: 'mark', 'aria-hidden': 'true' }, mark),
          h('span', { class: 'unseen' }, word),
          name,
        );
      }),
    );
  };
  return { root, draw };
};

/** One line that says where a slice stands. */
export const standing = (view) => {
  const { reads, writes, obeyed, instances, epoch } = view;
  return [
    `reads ${reads.percent} % on the service${reads.cohorts > 0 ? ` + ${reads.cohorts} cohorts` : ''}`,
    writes.owner === 'held' ? `writes held (${view.heldNow} wait)` : `writes on the ${writes.owner}`,
    `epoch ${epoch}`,
    obeyed.all === 0 ? 'no proxy seen' : `obeyed by ${obeyed.obeying} of ${obeyed.all} workers`,
    ...(instances === null ? [] : [`${instances.healthy} of ${instances.known} instances healthy`]),
  ].join(' · ');
};

export const slicesNav = (state, current) =>
  [...state.slices.values()].map((view) =>
    h(
      'li',
      {},
      h(
        'a',
        {
          href: `#${view.slice}`,
          'data-key': `nav ${view.slice}`,
          'aria-current': view.slice === current ? 'page' : null,
        },
        h('b', {}, view.slice),
        view.refused === null ? '' : tag('bad', '✕ refused'),
        h('small', {}, `${view.stage} · reads ${view.reads.percent} % · writes ${view.writes.owner}`),
      ),
    ),
  );
