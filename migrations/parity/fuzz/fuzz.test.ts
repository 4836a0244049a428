import { afterEach, describe, expect, test } from '@jest/globals';
import { compileRules } from '@strangler/platform/compare/rules.ts';
import { defaultCompare } from '@strangler/platform/contracts/slice-compare.ts';
import { type Side, sideAt } from '../../http/side.ts';
import { readApiDescription } from '../../openapi/read-description.ts';
import { type NotesFault, type NotesServer, notesApi, startNotes } from '../notes.fixture.ts';
import { answersOnly } from '../observe/observer.ts';
import { runScenario } from '../run-scenario.ts';
import { readScenario } from '../scenario.ts';
import { fuzz } from './fuzz.ts';
import type { Running } from './run-plan.ts';

const operations = readApiDescription(JSON.stringify(notesApi), 'notes.yaml');
const rules = compileRules({ ...defaultCompare, identities: ['$.id'] });
const tokens = { admin: 'admin-token' };

let servers: NotesServer[] = [];
let sides: Side[] = [];
afterEach(async () => {
  for (const side of sides) side.close();
  for (const server of servers) await server.stop();
  [servers, sides] = [[], []];
});

async function running(fault: NotesFault): Promise<Running> {
  servers = [await startNotes({ firstId: 1 }), await startNotes({ firstId: 700, fault })];
  sides = servers.map(({ url }, at) => sideAt(['left', 'right'][at] as string, url));
  return {
    operations,
    sides: sides as [Side, Side],
    rules,
    tokens,
    observer: answersOnly,
    slowerByMs: null,
    reset: async () => {
      for (const server of servers) server.reset();
    },
    refused: new Map(),
  };
}

const bounds = { runs: 60, stepsPerRun: 20, withinMs: null };

describe('two sides that make ids of their own', () => {
  test('are found alike where they are, and all that they can do was tried', async () => {
    const report = await fuzz({ running: await running('none'), seed: 5, ...bounds, runs: 30 });
    expect(report.found).toBeNull();
    expect(report.steps).toBeGreaterThan(300);
    expect(report.coverage).toMatchObject({
      'POST /notes': { 201: expect.any(Number), 400: expect.any(Number), 401: expect.any(Number) },
      'PUT /notes/{id}': { 200: expect.any(Number), 404: expect.any(Number), 412: expect.any(Number) },
      'DELETE /notes/{id}': { 204: expect.any(Number) },
    });
  });

  test.each([
    ['long-title-cut', ['$.title'], 2],
    ['delete-says-ok', ['status'], 2],
    ['etag-ignored', ['status'], 3],
    ['page-without-end', ['$.next_cursor'], 5],
  ] as const)('differ by %s, which is found at %j in %i steps at most', async (fault, paths, mostSteps) => {
    const two = await running(fault);
    const { found } = await fuzz({ running: two, seed: 5, ...bounds });
    expect(found?.paths).toEqual(expect.arrayContaining([...paths]));
    expect(found?.scenario.steps.length).toBeLessThanOrEqual(mostSteps);
    // As it is read back from a file.
    const scenario = readScenario(JSON.parse(JSON.stringify(found?.scenario)), 'test');
    await two.reset();
    expect((await runScenario(scenario, two, { ...tokens, bad: 'x' })).outcome).toBe('different');
  });

  test('are sent the same by the same seed', async () => {
    const once = async () => {
      const { steps, coverage } = await fuzz({ running: await running('none'), seed: 9, ...bounds, runs: 5 });
      for (const server of servers) await server.stop();
      return { steps, coverage };
    };
    expect(await once()).toEqual(await once());
  });
});
