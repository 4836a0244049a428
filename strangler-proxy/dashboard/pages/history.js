import { card, h, show } from './dom.js';
import { ago, instant } from './format.js';

/** Who changed what, when and why; newest first. */
export const createHistory = () => {
  const place = h('div', { class: 'scroll' });
  const root = card('History', '', place);
  const draw = (state, slice, nowMs) => {
    const changes = state.history.get(slice)?.changes ?? [];
    if (changes.length === 0) return show(place, h('p', { class: 'muted' }, 'Nothing was changed yet.'));
    return show(
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
            ['When', 'Who', 'Stage', 'Reads', 'Writes', 'Why'].map((name) => h('th', { scope: 'col' }, name)),
          ),
        ),
        h(
          'tbody',
          {},
          changes
            .slice(0, 20)
            .map(({ stage, percent, owner, change }) =>
              h(
                'tr',
                {},
                h('td', { class: 'number', title: `${instant(change.at)} UTC` }, ago(change.at, nowMs)),
                h('td', {}, h('b', {}, change.by)),
                h('td', {}, stage),
                h('td', { class: 'number' }, `${percent} % service`),
                h('td', {}, owner),
                h('td', {}, change.reason || '–'),
              ),
            ),
        ),
      ),
    );
  };
  return { root, draw };
};
