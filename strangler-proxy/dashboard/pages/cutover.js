import { card, h, show, tag } from './dom.js';
import { ago, took } from './format.js';

const outcomes = {
  done: ['good', '✓ done'],
  'called off': ['warn', '! called off'],
  'waiting for resume': ['bad', '✕ waiting for resume'],
};

/** The last cut-over, step by step, as it happens. */
export const createCutover = () => {
  const place = h('div', {});
  const root = card('Cut-over', 'half', place);
  const draw = ({ cutover, writes, heldNow, slice }, nowMs) => {
    if (cutover === null) {
      show(
        place,
        h(
          'p',
          { class: 'muted' },
          'None yet. The step into writes moves the writes, and can be taken back by another.',
        ),
      );
      return;
    }
    const { from, to, by, reason, steps, outcome, why } = cutover;
    const [kind, word] = outcomes[outcome] ?? ['', '… under way'];
    show(
      place,
      h('p', {}, tag(kind, word), ` ${from} → ${to}, by ${by}${reason === '' ? '' : `: ${reason}`}`),
      why === null ? null : h('p', {}, why),
      outcome === 'waiting for resume'
        ? h('p', { class: 'muted' }, `"npx strangler resume ${slice}" finishes it or calls it off.`)
        : null,
      writes.owner === 'held'
        ? h('p', {}, tag('warn', '! held'), ` ${heldNow} writes wait, until ${writes.until} at most.`)
        : null,
      h(
        'ol',
        { class: 'timeline' },
        steps.map(({ step, startedAt, endedAt, detail }) =>
          h(
            'li',
            {},
            h('span', { 'aria-label': endedAt === null ? 'under way' : 'done' }, endedAt === null ? '…' : '✓'),
            h('b', {}, step),
            h(
              'span',
              { class: 'took' },
              took(Math.max(0, (endedAt === null ? nowMs : Date.parse(endedAt)) - Date.parse(startedAt))),
            ),
            h('span', { class: 'detail muted' }, detail ?? ''),
          ),
        ),
      ),
      h('p', { class: 'muted' }, `Began ${ago(steps[0]?.startedAt ?? new Date(nowMs).toISOString(), nowMs)}.`),
    );
  };
  return { root, draw };
};
