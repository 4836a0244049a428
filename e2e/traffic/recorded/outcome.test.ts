import { describe, expect, test } from '@jest/globals';
import { outcomeOf } from './outcome.ts';

const answer = (status: number, headers: Record<string, string> = {}) =>
  outcomeOf({ kind: 'answer', status, headers, body: undefined });
const noAnswer = (code: string) => outcomeOf({ kind: 'no answer', code, message: 'gone' });

describe('what a write came to', () => {
  test('is known where it was acknowledged, with the side that did', () => {
    expect(answer(201, { 'x-strangler-side': 'service' })).toEqual({ outcome: 'ok', side: 'service', epoch: null });
    expect(answer(204, { 'x-strangler-epoch': '7' })).toEqual({ outcome: 'ok', side: null, epoch: 7 });
  });

  test('is a refusal where the answer says so, or that it may be sent again', () => {
    for (const status of [400, 404, 409, 412]) expect(answer(status).outcome).toBe('refused');
    for (const status of [502, 503]) expect(answer(status, { 'retry-after': '1' }).outcome).toBe('refused');
  });

  test('is not known after any other failure of a server, or without an answer', () => {
    for (const status of [500, 502, 503, 504]) expect(answer(status).outcome).toBe('unknown');
    for (const code of ['ECONNRESET', 'UND_ERR_SOCKET', 'UND_ERR_HEADERS_TIMEOUT'])
      expect(noAnswer(code).outcome).toBe('unknown');
  });

  test('is a refusal where the request never left', () => {
    expect(noAnswer('ECONNREFUSED')).toMatchObject({ outcome: 'refused', detail: 'ECONNREFUSED: gone' });
  });
});
