import { Writable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createProgressView, formatTook, type TableProgress } from './progress-view.ts';
import type { Screen, Terminal } from './terminal.ts';

const at = (table: string, rows: number, more: Partial<TableProgress> = {}): TableProgress => ({
  table,
  rows,
  rowsEstimate: 20_000,
  rowsPerSecond: 3400,
  etaMs: 2353,
  ...more,
});

const recorder = (screen?: Screen) => {
  const out: string[] = [];
  const err: string[] = [];
  const terminal: Terminal = {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    environment: {},
    log: createLog({ name: 'test', level: 'silent' }),
    signal: new AbortController().signal,
    ...(screen === undefined ? {} : { screen }),
  };
  return { terminal, out, err };
};

describe('progress without a terminal', () => {
  test('is a line now and then, one at the end of each table, and nothing of it on standard output', () => {
    const { terminal, out, err } = recorder();
    let nowMs = 0;
    const view = createProgressView(terminal, { json: false, lineEveryMs: 40, nowMs: () => nowMs });
    for (let n = 0; n < 1000; n += 1) view.progress({}, at('products', n));
    expect(err).toEqual([]);
    nowMs += 50;
    for (let n = 0; n < 1000; n += 1) view.progress({}, at('products', 12_000));
    expect(err).toEqual(['products: 12,000 of about 20,000 rows, 3,400/s, 2.4s left']);
    nowMs += 50;
    view.progress({}, at('products', 20_001, { waiting: 'lag of 6000 ms, bound 5000 ms' }));
    view.ended({}, 'products: 20,001 rows in 6.0s');
    view.note({}, 'and this');
    view.note({}, null);
    view.result({}, 'all of it');
    view.close();
    expect(err.slice(1)).toEqual([
      'products: 20,001 rows; waiting: lag of 6000 ms, bound 5000 ms',
      'products: 20,001 rows in 6.0s',
      'and this',
    ]);
    expect(out).toEqual(['all of it']);
  });
});

test('with --json every event is one line on standard output, and nothing is on standard error', () => {
  const { terminal, out, err } = recorder();
  const view = createProgressView(terminal, { json: true });
  view.progress({ kind: 'chunk', n: 1 }, at('products', 1));
  view.note({ kind: 'note', text: 'a\nb' }, null);
  view.ended({ kind: 'done' }, 'for people');
  view.result({ kind: 'summary' }, 'for people');
  view.close();
  expect(out.map((line) => JSON.parse(line).kind)).toEqual(['chunk', 'note', 'done', 'summary']);
  expect(out.every((line) => !line.includes('\n'))).toBe(true);
  expect(err).toEqual([]);
});

describe('progress on a terminal', () => {
  const screen = () => {
    let text = '';
    const stream = new Writable({
      write(chunk, _encoding, done) {
        text += String(chunk);
        done();
      },
    });
    return { stream: Object.assign(stream, { isTTY: true as const, columns: 120 }), text: () => text };
  };

  test('is a bar with rate and time left, which makes room for whatever is said, and leaves nothing behind', async () => {
    const { stream, text } = screen();
    const { terminal, out, err } = recorder(stream);
    const view = createProgressView(terminal, { json: false });
    view.progress({}, at('products', 5000));
    expect(text()).toMatch(/products \[={7,8} +\] 5,000 of about 20,000 rows, 3,400\/s, 2\.4s left/);
    const before = text().length;
    view.result({}, 'a difference');
    // Taken down, and drawn again.
    expect(text().slice(before)).toContain('\u001b[2K');
    expect(text().slice(before)).toContain('products [');
    view.progress({}, at('reviews', 1));
    expect(text()).toContain('reviews [');
    view.ended({}, 'reviews: done');
    view.close();
    const end = text().length;
    await wait(250);
    expect(text().length).toBe(end);
    expect({ out, err }).toEqual({ out: ['a difference'], err: ['reviews: done'] });
  });
});

test.each([
  [3, '3ms'],
  [999.4, '999ms'],
  [3240, '3.2s'],
  [65_000, '1m 5s'],
  [3_780_000, '1h 3m'],
])('%d ms are told as %s', (ms, text) => {
  expect(formatTook(ms)).toBe(text);
});
