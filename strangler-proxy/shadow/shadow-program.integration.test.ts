import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  dryRunHeader,
  dryRunMediaType,
  effectsHeader,
  tellEffectsHeader,
} from '@strangler/platform/contracts/dry-run.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { json, type ShadowProgram, type ShadowSlice, startShadowProgram } from '../testing/start-shadow-program.ts';

let program: ShadowProgram;
/** That of the test which runs. */
let slice: ShadowSlice;
const withIdentities = { makesDryRuns: true, more: 'compare: { identities: [ "$.id" ] }' };

beforeAll(async () => {
  program = await startShadowProgram({
    ...{ same: {}, different: {}, noisy: {}, flagged: {}, canary: {} },
    ...{ written: withIdentities, unwilling: {}, late: { makesDryRuns: true } },
    ...{ looked: withIdentities, racing: { makesDryRuns: true } },
  });
}, 120_000);
afterAll(() => program?.end());

const get = async (path = '/7', headers: Record<string, string> = {}) => {
  const answer = await fetch(`${slice.url}${path}`, { headers });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
};
const compared = (outcome: string, access = 'read') =>
  slice.figure('strangler_shadow_compared_total', { outcome, access });
const dropped = (reason: string) => slice.figure('strangler_shadow_dropped_total', { reason });
const within = { withinMs: 20_000 };

describe('reads at stage shadow', () => {
  test('are asked of the service as who sent them, marked as copies, and are the same', async () => {
    slice = program.slice('same');
    const { text } = await get('/7?full=1', {
      authorization: 'Bearer abc',
      cookie: 'sid=1',
      'x-user': 'u1',
    });
    expect(text).toContain('Walnut desk');
    await eventually(async () => expect(await compared('same')).toBe(1), within);
    const [live] = slice.monolith.seen;
    const [copy] = slice.service.seen;
    expect(live).toMatchObject({ url: `${slice.path}/7?full=1`, shadow: false });
    expect(copy).toMatchObject({ url: `${slice.path}/7?full=1`, shadow: true });
    expect(copy!.headers).toMatchObject({ authorization: 'Bearer abc', cookie: 'sid=1', 'x-user': 'u1' });
    expect(copy!.headers['x-request-id']).toBe(live!.headers['x-request-id']);
    expect((await program.status()).workers[0]!.shadow).toContainEqual({
      slice: 'same',
      outcomes: { same: 1 },
      dropped: {},
    });
  });

  test('that differ for good are asked again until that is proven; what was merely late is lag', async () => {
    slice = program.slice('different');
    slice.service.answerWith((_req, res) => json(res, { id: 7, name: 'Oak desk' }));
    await get();
    await eventually(async () => expect(await compared('different')).toBe(1), within);
    expect(slice.service.seen).toHaveLength(5);
    expect(slice.monolith.seen.filter(({ shadow }) => shadow)).toHaveLength(6);

    slice.service.answerWith((_req, res) => {
      const late = slice.service.seen.length < 7;
      json(res, { id: 7, name: late ? 'Oak desk' : 'Walnut desk' });
    });
    await get();
    await eventually(async () => expect(await compared('lag')).toBe(1), within);
    expect(await compared('different')).toBe(1);
  });

  test('that differ where two answers of the monolith differ as well are noise', async () => {
    slice = program.slice('noisy');
    const random = (name: string) => (_req: unknown, res: Parameters<typeof json>[0]) =>
      json(res, { id: 7, name, traceId: crypto.randomUUID() });
    slice.monolith.answerWith(random('Walnut desk'));
    slice.service.answerWith(random('Walnut desk'));
    await get();
    await eventually(async () => expect(await compared('noise')).toBe(1), within);
    slice.service.answerWith(random('Oak desk'));
    await get();
    await eventually(async () => expect(await compared('different')).toBe(1), within);
  });

  test('are compared no more as soon as a flag says 0 %, or the stage has gone on', async () => {
    slice = program.slice('flagged');
    await get();
    await eventually(async () => expect(await compared('same')).toBe(1), within);
    await slice.flag({ shadow: { percent: 0 } });
    await get();
    await slice.flag({ shadow: { percent: 100 }, stage: 'reads' });
    await get();
    await slice.flag({ stage: 'shadow' });
    await get();
    await eventually(async () => expect(await compared('same')).toBe(2), within);
    expect(slice.service.seen).toHaveLength(2);
  });
});

describe('reads of a canary', () => {
  test('are compared whichever side has served them', async () => {
    slice = program.slice('canary');
    await slice.flag({ stage: 'canary', reads: { percent: 100, cohorts: [] } });
    await get();
    await eventually(async () => expect(await compared('same')).toBe(1), within);
    expect(slice.service.seen[0]).toMatchObject({ shadow: false });
    expect(slice.monolith.seen).toMatchObject([{ shadow: true }]);
    await slice.flag({ reads: { percent: 0, cohorts: [] } });
    await get();
    await eventually(async () => expect(await compared('same')).toBe(2), within);
    expect(slice.service.seen[1]).toMatchObject({ shadow: true });
  });
});

describe('writes', () => {
  const product = { name: 'Walnut desk', price_cents: 45_900 };
  const post = (path = '', method = 'POST') =>
    fetch(`${slice.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', authorization: 'Bearer abc' },
      body: JSON.stringify(product),
    });
  const events = [{ type: 'product.created', key: '7', payload: { id: 7 } }];
  const effects = (told: unknown) => Buffer.from(JSON.stringify(told)).toString('base64url');
  const writeSides = (ofService: { name: string }): void => {
    slice.monolith.answerWith((req, res) => {
      // A database takes longer than a probe.
      req.on('end', () =>
        setTimeout(() => {
          res.setHeader(effectsHeader, effects({ events }));
          json(res, { id: 7, ...product }, 201);
        }, 150),
      );
    });
    slice.service.answerWith((req, res) => {
      req.on('end', () => {
        res.setHeader('content-type', dryRunMediaType);
        const body = Buffer.from(JSON.stringify({ id: 9, ...product, ...ofService })).toString('base64');
        const headers = [['content-type', 'application/json']];
        res.end(JSON.stringify({ answer: { status: 201, headers, bodyBase64: body }, effects: { events } }));
      });
    });
  };

  test('are sent to the service as dry runs while the live write is under way, and the monolith tells its effects to nobody else', async () => {
    slice = program.slice('written');
    writeSides({ name: product.name });
    const answer = await post();
    expect(answer.status).toBe(201);
    expect([...answer.headers.keys()].filter((name) => name.startsWith('x-strangler'))).toEqual([]);
    await eventually(async () => expect(await compared('same', 'write')).toBe(1), within);
    expect(slice.monolith.seen[0]!.headers[tellEffectsHeader]).toBe('1');
    expect(slice.service.seen).toMatchObject([
      { method: 'POST', body: JSON.stringify(product), headers: { [dryRunHeader]: '1', authorization: 'Bearer abc' } },
    ]);

    writeSides({ name: 'Oak desk' });
    await post();
    await eventually(async () => expect(await compared('different', 'write')).toBe(1), within);
    expect(slice.monolith.seen.every(({ shadow }) => !shadow)).toBe(true);
  });

  test('are never sent to a service that does not say that it makes dry runs', async () => {
    slice = program.slice('unwilling');
    writeSides({ name: product.name });
    await post();
    await eventually(async () => expect(await dropped('no-dry-run')).toBe(1), within);
    expect(slice.service.seen).toEqual([]);
  });

  test('that are answered before their dry run is on its way are dropped as late, and the next finds a connection', async () => {
    slice = program.slice('late');
    writeSides({ name: product.name });
    slice.monolith.answerWith((_req, res) => {
      res.setHeader(effectsHeader, effects({ events }));
      json(res, { id: 9, ...product }, 201);
    });
    for (let turn = 0; turn < 20; turn += 1) await post();
    await eventually(async () => {
      const ended = (await dropped('late')) + (await compared('same', 'write'));
      expect(ended).toBe(20);
    }, within);
    const sent = slice.service.seen.length;
    expect(await dropped('late')).toBe(20 - sent);
  });

  test('whose dry run cannot be made again for what they have done are looked at as they stand: what came late is lag', async () => {
    slice = program.slice('looked');
    slice.monolith.answerWith((req, res) => {
      req.on('end', () =>
        setTimeout(() => {
          res.setHeader(effectsHeader, effects({ events }));
          res.setHeader('location', `${slice.path}/7`);
          json(res, { id: 7, ...product, category: 'Desks' }, 201);
        }, 150),
      );
    });
    let dryRuns = 0;
    slice.service.answerWith((req, res) => {
      if (req.method === 'GET') return json(res, { id: 7, ...product, category: 'Desks' });
      dryRuns += 1;
      const made = { id: 9, ...product, category: 'Tables' };
      const [status, answer] = dryRuns === 1 ? [201, made] : [409, { title: 'SKU is taken' }];
      req.on('end', () => {
        res.setHeader('content-type', dryRunMediaType);
        const bodyBase64 = Buffer.from(JSON.stringify(answer)).toString('base64');
        const headers = [
          ['content-type', 'application/json'],
          ['location', `${slice.path}/9`],
        ];
        res.end(JSON.stringify({ answer: { status, headers, bodyBase64 }, effects: { events } }));
      });
    });
    await post();
    await eventually(async () => expect(await compared('lag', 'write')).toBe(1), within);
    expect(slice.service.seen.at(-1)).toMatchObject({ method: 'GET', url: `${slice.path}/7`, shadow: true });
  });

  test('that differ beside another write to the same thing are racing', async () => {
    slice = program.slice('racing');
    writeSides({ name: 'Oak desk' });
    await Promise.all([post('/7', 'PATCH'), post('/7', 'PATCH')]);
    await post('/8', 'PATCH');
    await eventually(async () => {
      expect(await compared('racing', 'write')).toBe(2);
      expect(await compared('different', 'write')).toBe(1);
    }, within);
  });
});
