import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { HistoryFileError, openHistoryLog, parseHistory, readHistory } from './history-log.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'history-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const intent = { client: 'a', op: 'patch price', kind: 'write', key: 'k', value: '1' } as const;

test('what was begun and never ended is of unknown outcome, also where the file breaks off', () => {
  const file = join(folder, 'killed');
  const log = openHistoryLog(file);
  log.begin(intent)({ outcome: 'ok', side: 'service', epoch: 3 });
  log.begin({ ...intent, value: '2' });
  log.begin({ ...intent, kind: 'read', value: null })({ outcome: 'ok', value: '1' });
  expect(log.underWay()).toBe(1);
  log.close();
  appendFileSync(file, '{"end":2,"at":17');
  const [done, open, read] = readHistory(file);
  expect(done).toMatchObject({ id: 1, outcome: 'ok', value: '1', side: 'service', epoch: 3 });
  expect(done!.endedAtMs).toBeGreaterThanOrEqual(done!.invokedAtMs);
  expect(open).toMatchObject({ id: 2, outcome: 'unknown', value: '2', endedAtMs: null });
  expect(read).toMatchObject({ id: 3, kind: 'read', outcome: 'ok', value: '1' });
});

test('an end of what was not begun is refused, naming the line', () => {
  expect(() => parseHistory('{"end":2,"at":17,"outcome":"ok"}\n', 'file')).toThrow(HistoryFileError);
  expect(() => parseHistory('{"end":2,"at":17,"outcome":"ok"}\n', 'file')).toThrow(/^file:1: /);
});
