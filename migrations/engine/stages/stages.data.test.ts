import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pause } from '@strangler/platform/backoff.ts';
import { createLog } from '@strangler/platform/log.ts';
import { installOutbox, outboxTable } from '@strangler/platform/outbox/schema.ts';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { exitCodes } from '../../cli/exit-codes.ts';
import { runProgram } from '../../cli/program.ts';
import { hearApplied } from '../../testing/hear-applied.ts';
import { type Pipe, type PipeProcess, startPipe } from '../../testing/start-pipe.ts';
import { rowsOf } from '../schema/queryable.ts';

const cliMain = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));

const seedRows = 400;

const openPipe = (label: string, more: { appliers?: number } = {}): Promise<Pipe> =>
  startPipe({
    label,
    stage: 'monolith',
    ...more,
    sourceSql: [
      `CREATE TABLE items (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL, price DECIMAL(10,2) NOT NULL,
         UNIQUE KEY by_name (name))`,
      'CREATE TABLE other (id INT NOT NULL PRIMARY KEY, note TEXT)',
      "INSERT INTO other VALUES (1, 'not of the slice')",
      `INSERT INTO items (id, name, price) VALUES ${Array.from({ length: seedRows }, (_, at) => `(${at + 1}, 'item ${at + 1}', ${at}.25)`).join(', ')}`,
    ],
    targetSql: [
      'CREATE TABLE goods (id INT NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL, price_cents INT NOT NULL, UNIQUE KEY by_name (name))',
    ],
    slice: {
      tables: `  - source: items
    target: goods
    columns: { id: id, name: name, price_cents: { sql: "ROUND(price * 100)" } }
`,
    },
  });

const environmentOf = (pipe: Pipe) => ({
  STRANGLER_SOURCE: pipe.source.adminUrl,
  STRANGLER_TARGET: pipe.target.url,
  STRANGLER_SLICES: pipe.slicesFolder,
  STRANGLER_FLAGS: pipe.flags,
  STRANGLER_USER: 'ada',
  RABBITMQ_URL: pipe.environment.relay.RABBITMQ_URL as string,
  OUTBOX_EXCHANGE: pipe.exchange,
});

const run = async (pipe: Pipe, line: string, onErr: (text: string) => void = () => {}) => {
  const out: string[] = [];
  const err: string[] = [];
  const status = await runProgram(line.replace('SLICE', pipe.slice.slice).split(' '), {
    out: (text) => out.push(text),
    err(text) {
      err.push(text);
      onErr(text);
    },
    environment: environmentOf(pipe),
    log: createLog({ name: 'test', level: 'silent' }),
    signal: new AbortController().signal,
  });
  return { status, out: out.join('\n'), err: err.join('\n') };
};

/** Once the processes have taken up their work. */
const eventuallyAdvances = (pipe: Pipe) =>
  eventually(async () => expect(await run(pipe, 'advance SLICE')).toMatchObject({ status: exitCodes.done }), {
    withinMs: 60_000,
  });

const stageOf = async (pipe: Pipe): Promise<string> => {
  const shown = await run(pipe, 'flag show SLICE --json');
  return shown.status === exitCodes.done ? JSON.parse(shown.out).stage : 'monolith';
};

/** All that is in the source beside the rows: tables, triggers, routines and grants. */
const shapeOf = async ({ source }: Pipe): Promise<unknown> => {
  const named = (kind: string, schema: string, name: string) =>
    rowsOf<{ name: string }>(
      source.pool,
      `SELECT ${name} AS name FROM information_schema.${kind} WHERE ${schema} = DATABASE() ORDER BY 1`,
    );
  const tables = await named('TABLES', 'TABLE_SCHEMA', 'TABLE_NAME');
  const made = await Promise.all(
    tables.map(async ({ name }) => (await rowsOf(source.pool, `SHOW CREATE TABLE \`${name}\``))[0]),
  );
  return {
    made: JSON.parse(JSON.stringify(made).replace(/AUTO_INCREMENT=\d+/g, '')),
    triggers: await named('TRIGGERS', 'TRIGGER_SCHEMA', 'TRIGGER_NAME'),
    routines: await named('ROUTINES', 'ROUTINE_SCHEMA', 'ROUTINE_NAME'),
    grants: await rowsOf(source.pool, 'SHOW GRANTS'),
  };
};

const goods = (pool: Pool) => rowsOf(pool, 'SELECT id, name, price_cents FROM goods ORDER BY id');
const asGoods = (pool: Pool) =>
  rowsOf(pool, 'SELECT id, name, CAST(ROUND(price * 100) AS SIGNED) AS price_cents FROM items ORDER BY id');

/** Writes until stopped: changes, new rows and deletes, each committed by itself. */
const startWriter = ({ source }: Pipe) => {
  let stopped = false;
  let next = 100_000;
  const writing = (async () => {
    while (!stopped) {
      next += 1;
      const id = 1 + (next % seedRows);
      await source.pool.query('UPDATE items SET price = price + 1 WHERE id = ?', [id]);
      await source.pool.query('INSERT INTO items (id, name, price) VALUES (?, ?, 1)', [next, `new ${next}`]);
      if (next % 3 === 0) await source.pool.query('DELETE FROM items WHERE id = ?', [next]);
      // Each is carried to the target by others on the same machine.
      await pause(10);
    }
  })();
  return async () => {
    stopped = true;
    await writing;
  };
};

describe('a slice on its way from monolith to shadow and back', () => {
  let pipe: Pipe;
  let before: unknown;
  beforeAll(async () => {
    pipe = await openPipe('stages');
    before = await shapeOf(pipe);
  });
  afterAll(() => pipe?.close());

  test('plan says what will be done, and does nothing', async () => {
    const { status, out } = await run(pipe, 'plan SLICE');
    expect(status).toBe(exitCodes.done);
    expect(out).toMatch(
      /monolith → sync[\s\S]*CREATE TABLE IF NOT EXISTS strangler_outbox[\s\S]*CREATE DEFINER = CURRENT_USER TRIGGER/,
    );
    expect(await shapeOf(pipe)).toEqual(before);
    expect(await rowsOf(pipe.target.pool, "SHOW TABLES LIKE 'strangler%'")).toEqual([]);
  });

  test('two advances under writes bring it to shadow, with equal rows', async () => {
    const stop = startWriter(pipe);
    const sync = await run(pipe, 'advance SLICE --reason first');
    expect(sync).toMatchObject({ status: exitCodes.done, out: expect.stringMatching(/stage monolith → sync$/) });
    const heard = await hearApplied(pipe);
    const shadow = await run(pipe, 'advance SLICE --reason second');
    await stop();
    // A gate that is shut says which one, and by what figures, in what goes to the standard error.
    if (shadow.status !== exitCodes.done) throw new Error(`exit status ${shadow.status}:\n${shadow.err}`);
    expect(shadow.out).toMatch(/stage sync → shadow$/);
    // Whoever keeps something of the rows of before learns that they were copied.
    const copied = () => heard.filter(({ extent }) => extent === 'table').map(({ target }) => target);
    await eventually(async () => expect(copied()).toEqual(['goods']));
    await pipe.empty();
    expect(await goods(pipe.target.pool)).toEqual(await asGoods(pipe.source.pool));
    expect((await goods(pipe.target.pool)).length).toBeGreaterThan(seedRows);
    const flag = async () => JSON.parse((await run(pipe, 'flag show SLICE --json')).out);
    expect((await run(pipe, 'advance SLICE')).status).toBe(exitCodes.done);
    expect(await flag()).toMatchObject({ stage: 'canary', reads: { percent: 1 }, writes: { owner: 'monolith' } });
    // Nobody steers it here.
    const shut = await run(pipe, 'advance SLICE');
    expect(shut).toMatchObject({ status: exitCodes.refused, err: expect.stringMatching(/canary: expected 100 %/) });
    expect((await run(pipe, 'advance SLICE --force --reason known')).status).toBe(exitCodes.done);
    expect(await flag()).toMatchObject({ stage: 'reads', reads: { percent: 100 }, writes: { owner: 'monolith' } });
    expect((await run(pipe, 'rollback SLICE')).status).toBe(exitCodes.done);
    expect(await flag()).toMatchObject({ stage: 'canary', reads: { percent: 50 } });
    expect((await run(pipe, 'rollback SLICE')).status).toBe(exitCodes.done);
    expect(await flag()).toMatchObject({ stage: 'shadow', reads: { percent: 0 } });
    const report = JSON.parse((await run(pipe, 'status SLICE --json')).out);
    expect(report).toMatchObject({
      flag: { stage: 'shadow', change: { by: 'ada' } },
      pipe: { drift: [], deadLetters: 0, lag: { lagMs: 0 }, tables: [{ table: 'goods', backfill: { state: 'done' } }] },
    });
  });

  test('rollback takes it to sync, and then leaves source and target as they were', async () => {
    expect((await run(pipe, 'flag set SLICE --reads 40')).status).toBe(exitCodes.done);
    expect((await run(pipe, 'rollback SLICE --reason back')).status).toBe(exitCodes.done);
    expect(await stageOf(pipe)).toBe('sync');
    expect(JSON.parse((await run(pipe, 'flag show SLICE --json')).out).reads.percent).toBe(0);

    expect((await run(pipe, 'rollback SLICE --reason back')).status).toBe(exitCodes.done);
    expect(await stageOf(pipe)).toBe('monolith');
    expect(await shapeOf(pipe)).toEqual(before);
    expect(await goods(pipe.target.pool)).toEqual([]);
    expect(await rowsOf(pipe.target.pool, "SHOW TABLES LIKE 'strangler%'")).toEqual([]);
    await pipe.source.pool.query("UPDATE items SET name = 'nobody captures this' WHERE id = 1");
  });

  test('it goes there once more, and what changed meanwhile is not taken from the past', async () => {
    await run(pipe, 'advance SLICE');
    await eventuallyAdvances(pipe);
    expect(await goods(pipe.target.pool)).toEqual(await asGoods(pipe.source.pool));
  });
});

describe('the gates', () => {
  let pipe: Pipe;
  beforeAll(async () => {
    pipe = await openPipe('gates', { appliers: 0 });
  });
  afterAll(() => pipe?.close());

  test('into sync is shut while the target holds rows of its own', async () => {
    await pipe.target.pool.query("INSERT INTO goods VALUES (1, 'mine', 1)");
    const refused = await run(pipe, 'advance SLICE --force --reason anyway');
    expect(refused).toMatchObject({
      status: exitCodes.refused,
      err: expect.stringMatching(/target-empty: expected nothing in the target tables, found .*goods/),
    });
    expect(await rowsOf(pipe.source.pool, 'SHOW TRIGGERS')).toEqual([]);
    await pipe.target.pool.query('DELETE FROM goods');
  });

  test('into shadow is shut until the copy is done and an applier runs', async () => {
    expect((await run(pipe, 'advance SLICE --no-backfill')).status).toBe(exitCodes.done);
    const shut = await run(pipe, 'advance SLICE');
    expect(shut.status).toBe(exitCodes.refused);
    expect(shut.err).toMatch(/backfill: expected every table done, found goods not begun[\s\S]*applier: /);
    expect((await run(pipe, 'backfill SLICE')).status).toBe(exitCodes.done);
    await pipe.startApplier();
  });

  test('into shadow waits for an applier that is a moment late', async () => {
    const applier = pipe.appliers[0] as PipeProcess;
    await applier.kill();
    const starting: Promise<void>[] = [];
    const advanced = await run(pipe, 'advance SLICE', (text) => {
      if (text.includes('waiting for the applier') && starting.length === 0) starting.push(applier.start());
    });
    await Promise.all(starting);
    if (advanced.status !== exitCodes.done) throw new Error(`exit status ${advanced.status}:\n${advanced.err}`);
    expect((await run(pipe, 'rollback SLICE')).status).toBe(exitCodes.done);
  });

  test('into shadow is shut while a row differs, and opens when it is repaired', async () => {
    await eventually(async () => expect((await run(pipe, 'status SLICE')).out).toMatch(/applier +open/));
    await pipe.target.pool.query("UPDATE goods SET name = 'Item 7' WHERE id = 7");
    await pipe.target.pool.query('DELETE FROM goods WHERE id = 9');
    const shut = await run(pipe, 'advance SLICE');
    expect(shut.status).toBe(exitCodes.refused);
    expect(shut.err).toMatch(/goods 7: changed in name[\s\S]*goods 9: missing[\s\S]*verify: .*goods: 2 differences/);
    expect((await run(pipe, 'repair SLICE --differences --reason planted')).status).toBe(exitCodes.done);
    await pipe.empty();
    expect((await run(pipe, 'advance SLICE')).status).toBe(exitCodes.done);
  });

  test('that were forced are named in the history', async () => {
    await run(pipe, 'rollback SLICE');
    await pipe.target.pool.query("UPDATE goods SET name = 'Item 7' WHERE id = 7");
    expect((await run(pipe, 'advance SLICE --force')).status).toBe(exitCodes.usage);
    expect((await run(pipe, 'advance SLICE --force --reason known')).status).toBe(exitCodes.done);
    const [last] = JSON.parse((await run(pipe, 'flag history SLICE --limit 1 --json')).out);
    expect(last).toMatchObject({
      stage: 'shadow',
      change: { reason: expect.stringMatching(/^known \[forced past verify \(goods: 1 differences/) },
    });
  });
});

describe('a stage change that is killed', () => {
  let pipe: Pipe;
  let before: unknown;
  beforeAll(async () => {
    pipe = await openPipe('killed');
    before = await shapeOf(pipe);
  });
  afterAll(() => pipe?.close());

  /** Runs a command as a process and kills it with -9 when it has said so many lines; true if it was killed. */
  const killedAfter = async (words: string, lines: number): Promise<boolean> => {
    const child = spawn(process.execPath, [cliMain, ...words.replace('SLICE', pipe.slice.slice).split(' '), '--json'], {
      env: { ...programEnvironment(), ...environmentOf(pipe) },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let seen = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString().split('\n').length - 1;
      if (seen >= lines) child.kill('SIGKILL');
    });
    const [, signal] = await once(child, 'exit');
    return signal === 'SIGKILL';
  };

  test('is finished by the same command, wherever it was killed', async () => {
    const stop = startWriter(pipe);
    for (const lines of [2, 4, 7]) {
      await killedAfter('advance SLICE', lines);
      if ((await stageOf(pipe)) === 'monolith') expect((await run(pipe, 'advance SLICE')).status).toBe(exitCodes.done);
      else expect((await run(pipe, 'backfill SLICE')).status).toBe(exitCodes.done);
      await eventuallyAdvances(pipe);
      expect((await run(pipe, 'rollback SLICE')).status).toBe(exitCodes.done);

      await killedAfter('rollback SLICE', Math.max(1, lines - 2));
      expect((await run(pipe, 'rollback SLICE')).status).toBe(exitCodes.done);
      expect(await stageOf(pipe)).toBe('monolith');
      expect(await shapeOf(pipe)).toEqual(before);
      expect(await goods(pipe.target.pool)).toEqual([]);
    }
    await stop();
  }, 180_000);

  test('leaves an outbox that the application has installed, with what is recorded in it', async () => {
    await installOutbox(pipe.source.pool);
    expect((await run(pipe, 'advance SLICE')).status).toBe(exitCodes.done);
    expect((await run(pipe, 'rollback SLICE')).err).toMatch(/the outbox stays: the application records events in it/);
    expect(await rowsOf(pipe.source.pool, `SHOW TABLES LIKE '${outboxTable}'`)).toHaveLength(1);
  });
});
