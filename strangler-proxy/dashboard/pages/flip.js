import { ask } from './api.js';
import { askFirst } from './ask-dialog.js';
import { card, command, h } from './dom.js';

const steps = [0, 1, 5, 10, 25, 50, 100];

/** The percentages that may be set by hand. */
export const createFlip = ({ person, onRefused }) => {
  const mayChange = person.role !== 'viewer';
  let view = null;
  /** Somebody is choosing: what the proxy says then does not move the slider under the hand. */
  let isTouched = false;

  const range = h('input', {
    type: 'range',
    id: 'reads-range',
    min: 0,
    max: 100,
    step: 1,
    'aria-label': 'Reads on the service, in percent',
  });
  const number = h('input', { type: 'number', id: 'reads', min: 0, max: 100, step: 0.01, inputmode: 'decimal' });
  const set = h('button', { class: 'primary', type: 'submit' }, 'Review…');
  const now = h('p', { class: 'now-line' });
  const note = h('p', { class: 'muted', id: 'flip-note' });
  const compared = h('button', { type: 'button', class: 'small' });

  const choose = (value) => {
    isTouched = true;
    range.value = value;
    number.value = value;
  };
  range.addEventListener('input', () => choose(range.value));
  number.addEventListener('input', () => {
    isTouched = true;
    range.value = number.value;
  });

  const review = async (edit, title, button) => {
    const { slice } = view;
    let plan;
    try {
      plan = await ask('POST', `slices/${slice}/plan`, edit);
    } catch (error) {
      note.textContent = error.message;
      onRefused(error);
      return;
    }
    note.textContent = '';
    const [before, after] =
      edit.readsPercent === undefined
        ? [plan.before.shadowPercent, plan.after.shadowPercent]
        : [plan.before.readsPercent, plan.after.readsPercent];
    if (before === after) {
      note.textContent = `It is ${after} % already.`;
      return;
    }
    const done = await askFirst({
      title,
      body: [
        h('p', { class: 'change' }, `${before} %`, h('span', { 'aria-label': 'becomes' }, '→'), `${after} %`),
        h(
          'ul',
          {},
          plan.consequences.map((sentence) => h('li', {}, sentence)),
        ),
        h('p', { class: 'muted' }, 'The same in a terminal:'),
        command(plan.command),
      ],
      button,
      act: (reason) => ask('POST', `slices/${slice}/flags`, { ...edit, reason, basedOn: plan.basedOn }),
    });
    if (done) isTouched = false;
  };

  const form = h(
    'form',
    { class: 'flip', novalidate: true },
    now,
    h('label', { for: 'reads' }, 'Reads on the service (%)'),
    h('div', { class: 'row' }, range, number, set),
    h(
      'div',
      { class: 'quick', role: 'group', 'aria-label': 'Usual percentages' },
      steps.map((step) =>
        h('button', { type: 'button', class: 'small', onclick: () => choose(step), disabled: !mayChange }, `${step} %`),
      ),
    ),
    h('div', { class: 'quick' }, compared),
    note,
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const percent = Number(number.value);
    if (number.value === '' || !(percent >= 0 && percent <= 100)) {
      note.textContent = 'Expected a percentage from 0 to 100.';
      number.focus();
      return;
    }
    void review({ readsPercent: percent }, `${view.slice}: reads on the service`, `Set reads to ${percent} %`);
  });
  compared.addEventListener('click', () => {
    const to = view.comparedPercent === 0 ? 100 : 0;
    void review(
      { shadowPercent: to },
      `${view.slice}: comparing answers`,
      to === 0 ? 'Stop comparing' : 'Compare again',
    );
  });
  const root = card('Who answers reads', 'narrow', form);

  const draw = (next) => {
    if (view?.slice !== next.slice) isTouched = false;
    view = next;
    const { percent } = view.reads;
    if (!isTouched && document.activeElement !== number) {
      range.value = percent;
      number.value = percent;
    }
    now.replaceChildren(
      'Now ',
      h('b', { 'data-figure': 'percent' }, `${percent} %`),
      ' of users read from the service.',
    );
    compared.textContent = view.comparedPercent === 0 ? 'Compare answers again…' : 'Stop comparing answers…';
    const why = !mayChange
      ? (person.hint ?? `You are signed in as ${person.role}: you may look. An operator changes percentages.`)
      : view.writes.owner === 'held'
        ? 'A cut-over is under way; percentages change when it has ended.'
        : view.writes.owner === 'service'
          ? 'The service owns the writes, so it answers all reads. Roll back first.'
          : view.keepsData && view.reads.percent === 0 && (view.stage === 'monolith' || view.stage === 'sync')
            ? `At stage ${view.stage} the service’s data is not proven yet. Advance to shadow first.`
            : null;
    for (const control of [range, number, set]) control.disabled = why !== null;
    for (const button of form.querySelectorAll('.quick[role] button')) button.disabled = why !== null;
    compared.hidden = view.shadow === null && view.comparedPercent > 0;
    compared.disabled = !mayChange || view.writes.owner === 'held';
    if (why !== null) note.textContent = why;
    else if (note.dataset.why === 'yes') note.textContent = '';
    note.dataset.why = why === null ? 'no' : 'yes';
  };
  return { root, draw };
};
