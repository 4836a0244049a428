import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { answering, rulesOf } from '@strangler/platform/compare/answer.fixture.ts';
import { comparedAnswer, type SentRequest, sideAt } from '../http/side.ts';
import { operationOf as findOperation } from '../openapi/operation.ts';
import { readApiDescription } from '../openapi/read-description.ts';
import { type CalibrateOptions, calibrate, proposeRules } from './calibrate.ts';
import { type DriveOptions, drive } from './drive.ts';
import { NotReplayable, replay, replayedRequest } from './replay.ts';
import { type SmallShop, smallShopApi, smallShopRoutes, startSmallShop } from './small-shop.fixture.ts';
import { coverageOf, nameCell, wantedCells } from './wanted-cells.ts';

const operations = readApiDescription(smallShopApi, 'api.yaml');
const routes = smallShopRoutes.map((text) => {
  const [method, path] = text.split(' ') as ['GET', string];
  return { method, path, access: method === 'GET' ? ('read' as const) : ('write' as const) };
});
const operationOf: DriveOptions['operationOf'] = (endpoint) => {
  const [method = '', path = ''] = endpoint.split(' ');
  return findOperation(operations, { method, path })!;
};
const shadow = { sample: 1, calibrate: 0.05, writes: 'dry-run', routes: {} } as const;

let shop: SmallShop;
beforeEach(async () => {
  shop = await startSmallShop();
});
afterEach(() => shop.close());

const signal = new AbortController().signal;
const askAt = (url: string) => async (request: SentRequest) =>
  comparedAnswer(await sideAt('side', url, { signal, connectEachTime: true }).send(request), null);
const ask = () => {
  const asked = askAt(shop.url);
  return (request: SentRequest) => asked(request).catch(() => null);
};

const driveAll = async (more: Partial<DriveOptions> = {}) => {
  const cells = coverageOf(wantedCells({ routes, shadow }, operations), []);
  const driven = await drive(cells, {
    ask: ask(),
    operationOf,
    authorizations: ['Bearer ada'],
    perCell: 7,
    writes: false,
    perSecond: 10_000,
    signal,
    tell: () => {},
    ...more,
  });
  return Object.fromEntries(driven.map((cell) => [nameCell(cell), cell]));
};

describe('drive', () => {
  test('makes requests until each kind of answer has come as often as is wanted', async () => {
    const driven = await driveAll();
    for (const cell of [
      'GET /things 2xx',
      'GET /things 3xx',
      'GET /things 4xx',
      'GET /things/:id 2xx',
      'GET /things/:id 4xx',
      'GET /me 2xx signed in',
    ]) {
      expect([cell, driven[cell]]).toEqual([cell, expect.objectContaining({ brought: 7, cannot: null })]);
    }
  });

  test('looks ids up where they are listed', async () => {
    await driveAll();
    const shown = new Set(shop.asked.filter((asked) => /^GET \/things\/\d$/.test(asked)));
    expect([...shown].sort()).toEqual(['GET /things/1', 'GET /things/2', 'GET /things/3']);
  });

  test('tries the values that a query may have', async () => {
    await driveAll();
    expect(shop.asked).toEqual(
      expect.arrayContaining(['GET /things', 'GET /things?sort=id', 'GET /things?sort=-id', 'GET /things?limit=1']),
    );
  });

  test('says what it could not make, and why', async () => {
    const driven = await driveAll({ authorizations: [] });
    const why = Object.fromEntries(
      Object.entries(driven).flatMap(([name, { cannot }]) => (cannot === null ? [] : [[name, cannot]])),
    );
    expect(why).toEqual({
      'POST /things 2xx signed in': 'it is a write: only sent with --writes',
      'POST /things 4xx': 'it is a write: only sent with --writes',
      'DELETE /things/:id 2xx signed in': 'it is a write: only sent with --writes',
      'DELETE /things/:id 4xx': 'it is a write: only sent with --writes',
      'GET /things/:id/notes/:noteId 2xx': expect.stringContaining(
        'no value is known for :noteId after /things/1/notes',
      ),
      'GET /me 2xx signed in': 'it wants somebody who is signed in: give --token',
      'GET /search 2xx': 'the query parameter code is required and has no example',
    });
  });

  test('sends no write unless told, and never one that deletes', async () => {
    await driveAll();
    expect(shop.asked.filter((asked) => !asked.startsWith('GET'))).toEqual([]);
    const driven = await driveAll({ writes: true });
    expect(driven['POST /things 2xx signed in']).toMatchObject({ brought: 7, cannot: null });
    expect(driven['DELETE /things/:id 2xx signed in']).toMatchObject({
      sent: 0,
      cannot: 'it deletes: send it yourself',
    });
    expect(shop.asked).toContain('POST /things as Bearer ada');
  });

  test('ends where nothing answers, and says so', async () => {
    const driven = await driveAll({ ask: async () => null });
    expect(driven['GET /things 2xx']).toMatchObject({ brought: 0, cannot: 'its requests were answered no answer' });
  });

  test('ends when it is told to', async () => {
    const stop = new AbortController();
    let asked = 0;
    const driven = await driveAll({
      signal: stop.signal,
      ask: async () => {
        asked += 1;
        if (asked === 3) stop.abort();
        return answering({});
      },
    });
    expect(asked).toBe(3);
    expect(Object.values(driven).at(-1)).toMatchObject({ cannot: 'stopped' });
  });
});

describe('calibrate', () => {
  const calibrated = async (more: Partial<CalibrateOptions> = {}) =>
    await calibrate(
      ['GET /things', 'GET /things/:id', 'GET /me'].map((endpoint) => ({ endpoint, operation: operationOf(endpoint) })),
      {
        ask: ask(),
        rulesOf: () => rulesOf(),
        authorizations: ['Bearer ada'],
        pairs: 12,
        gapMs: 0,
        signal,
        tell: () => {},
        ...more,
      },
    );

  test('finds nothing where the monolith says the same twice', async () => {
    const found = await calibrated();
    expect(found.map(({ endpoint, pairs, paths, cannot }) => [endpoint, pairs, paths, cannot])).toEqual([
      ['GET /things', 12, [], null],
      ['GET /things/:id', 12, [], null],
      ['GET /me', 12, [], null],
    ]);
    expect(proposeRules(found)).toEqual({ ignore: [], unordered: [], times: { toleranceMs: 0, paths: [] } });
  });

  test('proposes the narrowest rule for what differs', async () => {
    await shop.close();
    let n = 0;
    shop = await startSmallShop({
      show: (id) => {
        n += 1;
        return {
          id,
          request: `r${n}`,
          tags: n % 7 < 3 ? ['a', 'b'] : ['b', 'a'],
          at: new Date(Date.UTC(2026, 0, 1) + n * 10).toISOString(),
        };
      },
    });
    const found = await calibrated();
    const { ignore, unordered, times } = proposeRules(found);
    expect(ignore).toEqual([
      {
        path: '$.request',
        route: 'GET /things/:id',
        reason: "differs in 12 of 12 pairs of the monolith's own answers",
      },
    ]);
    expect(unordered).toEqual(['$.tags']);
    expect(times.paths).toEqual(['$.at']);
    expect(times.toleranceMs).toBeGreaterThanOrEqual(20);
    const rules = rulesOf(
      {
        ignore: ignore.map((rule) => ({ ...rule, by: 'ada' })),
        unordered,
        times,
      },
      'GET /things/:id',
    );
    const [again] = (await calibrated({ rulesOf: () => rules })).filter(
      ({ endpoint }) => endpoint === 'GET /things/:id',
    );
    expect(again?.paths).toEqual([]);
  });

  test('what differs on every route is proposed once', async () => {
    await shop.close();
    let n = 0;
    shop = await startSmallShop({ more: () => ({ requestId: `r${++n}` }) });
    expect(proposeRules(await calibrated()).ignore).toEqual([
      { path: '$.requestId', route: null, reason: "differs in 36 of 36 pairs of the monolith's own answers" },
    ]);
  });

  test('says which route it could not ask', async () => {
    const found = await calibrated({ authorizations: [] });
    expect(found.at(-1)).toMatchObject({ pairs: 0, cannot: expect.stringContaining('--token') });
    const away = await calibrated({ ask: async () => null });
    expect(away[0]).toMatchObject({ pairs: 0, cannot: 'the monolith gave no answer' });
  });
});

describe('replay', () => {
  const kept = {
    method: 'GET',
    path: '/things/2',
    headers: [['accept', 'application/json']] as [string, string][],
    body: { kind: 'none' as const },
  };

  test('asks both sides the same, with the credentials of now, and compares', async () => {
    const service = await startSmallShop({ show: (id) => ({ id, name: 'another' }) });
    try {
      const request = replayedRequest(kept, { authorization: 'Bearer ada' });
      const { comparison, monolith } = await replay(
        request,
        { monolith: askAt(shop.url), service: askAt(service.url) },
        rulesOf(),
      );
      expect(comparison.differences).toMatchObject([{ path: '$.name', monolith: 'thing 2', service: 'another' }]);
      expect(monolith).toMatchObject({ status: 200, body: { kind: 'json' } });
      expect(shop.asked).toEqual(['GET /things/2 as Bearer ada']);
      expect(service.asked).toEqual(shop.asked);
    } finally {
      await service.close();
    }
  });

  test('sends no write, and nothing of which a part was not kept', () => {
    expect(() => replayedRequest({ ...kept, method: 'POST' }, {})).toThrow(NotReplayable);
    expect(() => replayedRequest({ ...kept, path: '/a?token=[redacted]' }, {})).toThrow(/a secret stood there/);
  });
});
