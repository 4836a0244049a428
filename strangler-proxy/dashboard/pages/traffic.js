import { createChart } from './chart.js';
import { card, h } from './dom.js';
import { count } from './format.js';

/** Who answers, now and in the last minutes. */
export const createTraffic = () => {
  const ofService = h('i', { class: 'of-service' });
  const ofMonolith = h('i', { class: 'of-monolith' });
  const split = h('div', { class: 'split', 'aria-hidden': 'true' }, ofService, ofMonolith);
  const legendOf = (kind, name) => {
    const value = h('b', { 'data-figure': kind });
    return [h('span', {}, h('span', { class: `key of-${kind}`, 'aria-hidden': 'true' }), `${name} `, value), value];
  };
  const [service, serviceValue] = legendOf('service', 'Service');
  const [monolith, monolithValue] = legendOf('monolith', 'Monolith');
  const more = h('span', { class: 'muted' });
  const chart = createChart();
  const root = card('Reads by side', 'wide', split, h('p', { class: 'legend' }, service, monolith, more), chart.root);
  const note = h('p', {});
  root.querySelector('header').append(note);

  const draw = (state, slice, nowMs) => {
    const last = state.traffic.at(-1)?.slices[slice];
    const reads = last?.reads ?? { service: 0, monolith: 0, failed: 0 };
    const all = reads.service + reads.monolith;
    const share = all === 0 ? 0 : (100 * reads.service) / all;
    // The bar shows who answered; with no traffic there is nothing to show.
    ofService.style.width = `${share}%`;
    ofMonolith.style.width = all === 0 ? '0' : `${100 - share}%`;
    serviceValue.textContent = `${count(reads.service)}/s${all === 0 ? '' : ` (${Math.round(share)} %)`}`;
    monolithValue.textContent = `${count(reads.monolith)}/s${all === 0 ? '' : ` (${Math.round(100 - share)} %)`}`;
    const writes = last?.writes;
    const failed = reads.failed + (writes?.failed ?? 0);
    more.textContent = [
      ...(writes === undefined
        ? []
        : [`writes ${count(writes.monolith)}/s monolith, ${count(writes.service)}/s service`]),
      ...(failed > 0 ? [`✕ ${count(failed)}/s failed`] : []),
    ].join(' · ');
    note.textContent = all === 0 ? 'no reads in the last second' : 'all proxies, by the second';
    chart.draw(state.traffic, slice, nowMs);
  };
  return { root, draw };
};
