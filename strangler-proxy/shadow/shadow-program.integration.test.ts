import { afterEach, describe, expect, test } from '@jest/globals';
import {
  dryRunHeader,
  dryRunMediaType,
  effectsHeader,
  tellEffectsHeader,
} from '@strangler/platform/contracts/dry-run.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { json, type ShadowProgram, type ShadowWishes, startShadowProgram } from '../testing/start-shadow-program.ts';

let program: ShadowProgram;
afterEach(() => program.end());
const start = async (wishes: ShadowWishes = {}): Promise<void> => {
  program = await startShadowProgram(wishes);
};

const get = async (path = '/api/products/7', headers: Record<string, string> = {}) => {
  const answer = await fetch(`${program.url}${path}`, { headers });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
};
const compared = (outcome: string, access = 'read') =>
  program.figure('strangler_shadow_compared_total', { outcome, access });
const dropped = (reason: string) => program.figure('strangler_shadow_dropped_total', { reason });
const within = { withinMs: 20_000 };

describe('reads at stage shadow', () => {
  test('are asked of the service as who sent them, marked as copies, and are the same', async () => {
    await start();
    const { text } = await get('/api/products/7?full=1', {
      authorization: 'Bearer abc',
      cookie: 'sid=1',
      'x-user': 'u1',
    });
    expect(text).toContain('Walnut desk');
    await eventually(async () => expect(await compared('same')).toBe(1), within);
    const [live] = program.monolith.seen;
    const [copy] = program.service.seen;
    expect(live).toMatchObject({ url: '/api/products/7?full=1', shadow: false });
    expect(copy).toMatchObject({ url: '/api/products/7?full=1', shadow: true });
    expect(copy!.headers).toMatchObject({ authorization: 'Bearer abc', cookie: 'sid=1', 'x-user': 'u1' });
    expect(copy!.headers['x-request-id']).toBe(live!.headers['x-request-id']);
    expect((await program.status()).workers[0]!.shadow).toEqual([
      { slice: 'catalog', outcomes: { same: 1 }, dropped: {} },
    ]);
  });

  test('that differ for good are asked again until that is proven; what was merely late is lag', async () => {
    await start();
    program.service.answerWith((_req, res) => json(res, { id: 7, name: 'Oak desk' }));
    await get();
    await eventually(async () => expect(await compared('different')).toBe(1), within);
    expect(program.service.seen).toHaveLength(5);
    expect(program.monolith.seen.filter(({ shadow }) => shadow)).toHaveLength(6);

    program.service.answerWith((_req, res) => {
      const late = program.service.seen.length < 7;
      json(res, { id: 7, name: late ? 'Oak desk' : 'Walnut desk' });
    });
    await get();
    await eventually(async () => expect(await compared('lag')).toBe(1), within);
    expect(await compared('different')).toBe(1);
  });

  test('that differ where two answers of the monolith differ as well are noise', async () => {
    await start();
    const random = (name: string) => (_req: unknown, res: Parameters<typeof json>[0]) =>
      json(res, { id: 7, name, traceId: crypto.randomUUID() });
    program.monolith.answerWith(random('Walnut desk'));
    program.service.answerWith(random('Walnut desk'));
    await get();
    await eventually(async () => expect(await compared('noise')).toBe(1), within);
    program.service.answerWith(random('Oak desk'));
    await get();
    await eventually(async () => expect(await compared('different')).toBe(1), within);
  });

  test('are compared no more as soon as a flag says 0 %, or the stage has gone on', async () => {
    await start();
    await get();
    await eventually(async () => expect(await compared('same')).toBe(1), within);
    await program.flag({ shadow: { percent: 0 } });
    await get();
    await program.flag({ shadow: { percent: 100 }, stage: 'reads' });
    await get();
    await program.flag({ stage: 'shadow' });
    await get();
    await eventually(async () => expect(await compared('same')).toBe(2), within);
    expect(program.service.seen).toHaveLength(2);
  });
});

describe('reads of a canary', () => {
  test('are compared whichever side has served them', async () => {
    await start();
    await program.flag({ stage: 'canary', reads: { percent: 100, cohorts: [] } });
    await get();
    await eventually(async () => expect(await compared('same')).toBe(1), within);
    expect(program.service.seen[0]).toMatchObject({ shadow: false });
    expect(program.monolith.seen).toMatchObject([{ shadow: true }]);
    await program.flag({ reads: { percent: 0, cohorts: [] } });
    await get();
    await eventually(async () => expect(await compared('same')).toBe(2), within);
    expect(program.service.seen[1]).toMatchObject({ shadow: true });
  });
});

describe('writes', () => {
  const product = { name: 'Walnut desk', price_cents: 45_900 };
  const post = (path = '/api/products', method = 'POST') =>
    fetch(`${program.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', authorization: 'Bearer abc' },
      body: JSON.stringify(product),
    });
  const events = [{ type: 'product.created', key: '7', payload: { id: 7 } }];
  const effects = (told: unknown) => Buffer.from(JSON.stringify(told)).toString('base64url');
  const writeSides = (ofService: { name: string }): void => {
    program.monolith.answerWith((req, res) => {
      // A database takes longer than a probe.
      req.on('end', () =>
        setTimeout(() => {
          res.setHeader(effectsHeader, effects({ events }));
          json(res, { id: 7, ...product }, 201);
        }, 150),
      );
    });
    program.service.answerWith((req, res) => {
      req.on('end', () => {
        res.setHeader('content-type', dryRunMediaType);
        const body = Buffer.from(JSON.stringify({ id: 9, ...product, ...ofService })).toString('base64');
        const headers = [['content-type', 'application/json']];
        res.end(JSON.stringify({ answer: { status: 201, headers, bodyBase64: body }, effects: { events } }));
      });
    });
  };

  test('are sent to the service as dry runs while the live write is under way, and the monolith tells its effects to nobody else', async () => {
    await start({ makesDryRuns: true, more: 'compare: { identities: [ "$.id" ] }' });
    writeSides({ name: product.name });
    const answer = await post();
    expect(answer.status).toBe(201);
    expect([...answer.headers.keys()].filter((name) => name.startsWith('x-strangler'))).toEqual([]);
    await eventually(async () => expect(await compared('same', 'write')).toBe(1), within);
    expect(program.monolith.seen[0]!.headers[tellEffectsHeader]).toBe('1');
    expect(program.service.seen).toMatchObject([
      { method: 'POST', body: JSON.stringify(product), headers: { [dryRunHeader]: '1', authorization: 'Bearer abc' } },
    ]);

    writeSides({ name: 'Oak desk' });
    await post();
    await eventually(async () => expect(await compared('different', 'write')).toBe(1), within);
    expect(program.monolith.seen.every(({ shadow }) => !shadow)).toBe(true);
  });

  test('are never sent to a service that does not say that it makes dry runs', async () => {
    await start();
    writeSides({ name: product.name });
    await post();
    await eventually(async () => expect(await dropped('no-dry-run')).toBe(1), within);
    expect(program.service.seen).toEqual([]);
  });

  test('that are answered before their dry run is on its way are dropped as late, and the next finds a connection', async () => {
    await start({ makesDryRuns: true });
    writeSides({ name: product.name });
    program.monolith.answerWith((_req, res) => {
      res.setHeader(effectsHeader, effects({ events }));
      json(res, { id: 9, ...product }, 201);
    });
    for (let turn = 0; turn < 20; turn += 1) await post();
    await eventually(async () => {
      const ended = (await dropped('late')) + (await compared('same', 'write'));
      expect(ended).toBe(20);
    }, within);
    const sent = program.service.seen.length;
    expect(await dropped('late')).toBe(20 - sent);
  });

  test('whose dry run cannot be made again for what they have done are looked at as they stand: what came late is lag', async () => {
    await start({ makesDryRuns: true, more: 'compare: { identities: [ "$.id" ] }' });
    program.monolith.answerWith((req, res) => {
      req.on('end', () =>
        setTimeout(() => {
          res.setHeader(effectsHeader, effects({ events }));
          res.setHeader('location', '/api/products/7');
          json(res, { id: 7, ...product, category: 'Desks' }, 201);
        }, 150),
      );
    });
    let dryRuns = 0;
    program.service.answerWith((req, res) => {
      if (req.method === 'GET') return json(res, { id: 7, ...product, category: 'Desks' });
      dryRuns += 1;
      const made = { id: 9, ...product, category: 'Tables' };
      const [status, answer] = dryRuns === 1 ? [201, made] : [409, { title: 'SKU is taken' }];
      req.on('end', () => {
        res.setHeader('content-type', dryRunMediaType);
        const bodyBase64 = Buffer.from(JSON.stringify(answer)).toString('base64');
        const headers = [
          ['content-type', 'application/json'],
          ['location', '/api/products/9'],
        ];
        res.end(JSON.stringify({ answer: { status, headers, bodyBase64 }, effects: { events } }));
      });
    });
    await post();
    await eventually(async () => expect(await compared('lag', 'write')).toBe(1), within);
    expect(program.service.seen.at(-1)).toMatchObject({ method: 'GET', url: '/api/products/7', shadow: true });
  });

  test('that differ beside another write to the same thing are racing', async () => {
    await start({ makesDryRuns: true });
    writeSides({ name: 'Oak desk' });
    await Promise.all([post('/api/products/7', 'PATCH'), post('/api/products/7', 'PATCH')]);
    await post('/api/products/8', 'PATCH');
    await eventually(async () => {
      expect(await compared('racing', 'write')).toBe(2);
      expect(await compared('different', 'write')).toBe(1);
    }, within);
  });
});
