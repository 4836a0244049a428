import { svg } from './dom.js';
import { count } from './format.js';

const height = 176;
const left = 44;
const bottom = 22;
const top = 8;
const windowMs = 300_000;

/** The largest round number that still holds `value`: 1, 2 or 5 times a power of ten. */
export const roundUp = (value) => {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value);
};

/** Reads per second of the last five minutes, the service's below and the monolith's above; hatched, so that no colour is needed. */
export const createChart = () => {
  const hatch = svg(
    'pattern',
    { id: 'hatch', width: 8, height: 8, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    svg('rect', { width: 8, height: 8, class: 'hatch-ground' }),
    svg('line', { x1: 0, y1: 0, x2: 0, y2: 8, class: 'hatch-line' }),
  );
  const service = svg('path', { class: 'service' });
  const monolith = svg('path', { class: 'monolith' });
  const scale = svg('text', { x: left - 6, y: top + 10, 'text-anchor': 'end' });
  const root = svg(
    'svg',
    { class: 'chart', role: 'img' },
    svg('defs', {}, hatch),
    svg('line', { class: 'axis', x1: left, x2: '100%', y1: top, y2: top }),
    monolith,
    service,
    svg('line', { class: 'axis', x1: left, x2: '100%', y1: height - bottom, y2: height - bottom }),
    scale,
    text(left - 6, height - bottom, '0', 'end'),
    text(left, height - 5, '5 min ago', 'start'),
    text('100%', height - 5, 'now', 'end'),
  );

  const draw = (points, slice, nowMs) => {
    // In the page's own pixels, so that words and hatching look the same at every width.
    const width = root.clientWidth || 640;
    const seen = points
      .map(({ at, slices }) => ({ ms: Date.parse(at), reads: slices[slice]?.reads }))
      .filter(({ ms, reads }) => reads !== undefined && nowMs - ms < windowMs);
    const most = roundUp(Math.max(1, ...seen.map(({ reads }) => reads.monolith + reads.service)));
    const x = (ms) => left + ((ms - nowMs + windowMs) / windowMs) * (width - left);
    const y = (rate) => height - bottom - (rate / most) * (height - bottom - top);
    const area = (from, to) =>
      seen.length < 2
        ? ''
        : `M${seen.map((point) => `${x(point.ms).toFixed(1)} ${y(to(point.reads)).toFixed(1)}`).join('L')}L${seen
            .toReversed()
            .map((point) => `${x(point.ms).toFixed(1)} ${y(from(point.reads)).toFixed(1)}`)
            .join('L')}Z`;
    service.setAttribute(
      'd',
      area(
        () => 0,
        (reads) => reads.service,
      ),
    );
    monolith.setAttribute(
      'd',
      area(
        (reads) => reads.service,
        (reads) => reads.service + reads.monolith,
      ),
    );
    scale.textContent = `${count(most)}/s`;
    const last = seen.at(-1)?.reads;
    root.setAttribute(
      'aria-label',
      last === undefined
        ? 'Reads per second: nothing yet'
        : `Reads per second over five minutes; now ${count(last.service)} by the service, ${count(last.monolith)} by the monolith`,
    );
  };
  return { root, draw };
};

const text = (x, y, words, anchor) => {
  const element = svg('text', { x, y, 'text-anchor': anchor });
  element.textContent = words;
  return element;
};
