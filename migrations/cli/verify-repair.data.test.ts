import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { fillGoods, readGoods } from '../engine/apply/goods.fixture.ts';
import { rowsOf } from '../engine/schema/queryable.ts';
import { readVerifications } from '../engine/verify/verify-record.ts';
import { exitCodes } from './exit-codes.ts';
import { type CliPipe, cliPipe } from './pipe-commands.fixture.ts';

let pipe: CliPipe;
beforeAll(async () => {
  pipe = await cliPipe('cli_verify');
  await pipe.capture();
});
beforeEach(async () => {
  await pipe.empty();
  await fillGoods(pipe.sides.source, 200);
  await pipe.sides.source.query(
    `UPDATE goods SET shop = 'Nord', name = 'Kettle', note = '', sku = NULL, made_at = '2026-01-01 00:00:00.999999'
     WHERE no BETWEEN 10 AND 30`,
  );
  await pipe.sides.source.query("INSERT INTO plain VALUES (1, 'a@b', NULL), (2, 'b@b', 5)");
  await pipe.pump.empty();
});
afterAll(() => pipe?.close());

const damage = (sql: string) => pipe.sides.target.query(sql);

async function damageAll(): Promise<void> {
  await damage('UPDATE goods SET price = price + 0.0001 WHERE no = 10');
  await damage("UPDATE goods SET name = CONCAT(name, ' ') WHERE no = 11");
  await damage('UPDATE goods SET made_at = made_at + INTERVAL 1 MICROSECOND WHERE no = 12');
  await damage("UPDATE goods SET name = 'kETTLE' WHERE no = 13");
  await damage('UPDATE goods SET note = NULL WHERE no = 14');
  await damage("UPDATE goods SET sku = '' WHERE no = 15");
  await damage('DELETE FROM goods WHERE no = 16');
  await damage("INSERT INTO goods (shop, no, name) VALUES ('Zuletzt', 9000, 'extra')");
  await damage('DELETE FROM plain WHERE id = 2');
}

describe('strangler verify', () => {
  test('says that both sides are equal, exits 0, and what it found is on record in the target', async () => {
    const equal = await pipe.run('verify fixture');
    expect(equal.status).toBe(exitCodes.done);
    expect(equal.out).toMatch(
      /^TABLE +ROWS COMPARED +DIFFERENCES +UNSETTLED.*\ngoods +200 +0 +0 .*equal\nplain +2 +0 +0 .*equal$/,
    );
    const records = await readVerifications(pipe.sides.target);
    expect([...records.keys()]).toEqual(['goods', 'plain']);
    const goods = records.get('goods')!;
    expect(goods).toMatchObject({ rowsCompared: 200, differences: 0, unsettled: 0, complete: true });
    expect(goods.finishedAt.getTime()).toBeGreaterThanOrEqual(goods.startedAt.getTime());
    expect(Math.abs(Date.now() - goods.finishedAt.getTime())).toBeLessThan(3_600_000);
  });

  test('tells every planted damage with both values, and repair --differences mends all of them through the pipe', async () => {
    await damageAll();
    const found = await pipe.run('verify fixture --json');
    expect(found.status).toBe(exitCodes.failed);
    const differences = found.events.filter(({ kind }) => kind === 'difference') as {
      table: string;
      how: string;
      key: Record<string, string>;
      columns: string[];
    }[];
    const told = differences.map(({ table, how, key, columns }) =>
      `${table} ${key.no ?? key.id} ${how} ${columns}`.trim(),
    );
    expect(told.sort()).toEqual([
      'goods 10 changed price',
      'goods 11 changed name',
      'goods 12 changed made_at',
      'goods 13 changed name',
      'goods 14 changed note',
      'goods 15 changed sku',
      'goods 16 missing',
      'goods 9000 extra',
      'plain 2 missing',
    ]);
    expect(found.events.at(-1)).toMatchObject({
      kind: 'summary',
      equal: false,
      tables: [
        { table: 'goods', differences: 8, unsettled: 0, complete: true },
        { table: 'plain', differences: 1 },
      ],
    });
    expect((await readVerifications(pipe.sides.target)).get('goods')).toMatchObject({ differences: 8 });

    const text = await pipe.run('verify fixture');
    expect(text.err).toContain('found 9 differences and 0 rows unsettled; "strangler repair fixture --differences');
    expect(text.out).toContain('goods Nord/11: changed in');
    expect(text.out).toMatch(/name +"Kettle" +"Kettle "/);
    expect(text.out).toMatch(/made_at +"2026-01-01 00:00:00.999999" +"2026-01-01 00:00:01.000000"/);
    expect(text.out).toMatch(/note +"" +NULL/);
    expect(text.out).toMatch(/sku +NULL +""/);
    expect(text.out).toContain("goods Zuletzt/9000: should not be in the service's database");

    const planned = await pipe.run('repair fixture --differences --dry-run --json');
    expect(planned).toMatchObject({ status: exitCodes.done });
    expect((planned.events.at(-1)!.rows as unknown[]).length).toBe(9);
    expect(await rowsOf(pipe.sides.source, 'SELECT 1 FROM strangler_outbox WHERE published = 0')).toEqual([]);

    pipe.pump.start();
    try {
      const mended = await pipe.run('repair fixture --differences --reason damage --json');
      expect({ status: mended.status, err: mended.err }).toEqual({ status: exitCodes.done, err: '' });
      expect(mended.events.filter(({ kind }) => kind === 'recorded')).toHaveLength(9);
      expect(mended.events.at(-1)).toMatchObject({ kind: 'summary', outcome: 'mended', recorded: 9, left: [] });
    } finally {
      await pipe.pump.stop();
    }
    expect((await pipe.run('verify fixture')).status).toBe(exitCodes.done);
    expect(await readGoods(pipe.sides.target)).toEqual(await readGoods(pipe.sides.source));
    const writers = await pipe.run('writers fixture --json');
    const list = JSON.parse(writers.out) as { user: string; request: string | null; changes: number }[];
    expect(list).toContainEqual(expect.objectContaining({ user: 'ada', request: 'damage', changes: 9 }));
  }, 180_000);

  test('tells a row whose change does not come as unsettled, and exits 1', async () => {
    await pipe.sides.source.query("UPDATE goods SET note = 'on its way' WHERE no IN (40, 41)");
    const behind = await pipe.run('verify fixture --table goods --patience 50ms');
    expect(behind).toMatchObject({
      status: exitCodes.failed,
      err: expect.stringMatching(/found 0 differences and 2 rows unsettled; see that relay and applier run/),
    });
    expect(behind.err).toMatch(/goods \S+\/40: its change is still under way/);
  });

  test('of very many unsettled rows tells people the first only, and programs all', async () => {
    await pipe.sides.source.query("UPDATE goods SET note = 'on its way'");
    const text = await pipe.run('verify fixture --table goods --patience 50ms');
    expect(text.err.split('\n').filter((line) => line.includes('its change is still under way'))).toHaveLength(20);
    expect(text.err).toContain('goods: more rows are unsettled');
    const events = (await pipe.run('verify fixture --table goods --patience 50ms --json')).events;
    expect(events.filter(({ kind }) => kind === 'unsettled').length).toBe(200);
  });

  test('ends with one difference more than are wanted, and does not call that complete', async () => {
    await damage('UPDATE goods SET weight = 77');
    const found = await pipe.run('verify fixture --max-differences 5 --json');
    expect(found.status).toBe(exitCodes.failed);
    expect(found.events.at(-1)).toMatchObject({ equal: false, tables: [{ complete: false }, { complete: true }] });
    expect((await readVerifications(pipe.sides.target)).get('goods')).toMatchObject({ complete: false });
  });

  test('goes round after round until Ctrl-C, and its exit status is that of the last round', async () => {
    let rounds = 0;
    const watch = (line: string, stop: AbortController) => {
      if (!line.includes('"kind":"round"')) return;
      rounds += 1;
      if (rounds === 3) stop.abort();
    };
    const equal = await pipe.run('verify fixture --continuous --every 1ms --json', watch);
    expect(equal).toMatchObject({
      status: exitCodes.done,
      events: expect.arrayContaining([{ kind: 'summary', slice: 'fixture', rounds: 3 }]),
    });
    await damage('UPDATE plain SET v = 6 WHERE id = 2');
    rounds = 0;
    expect((await pipe.run('verify fixture --continuous --every 1ms --json', watch)).status).toBe(exitCodes.failed);
  });

  test('stopped by Ctrl-C before the end it exits 130, and records nothing of what it did not finish', async () => {
    const stopped = await pipe.run('verify fixture --json', (line, stop) => {
      if (line.includes('"begun"') && line.includes('"plain"')) stop.abort();
    });
    expect(stopped.status).toBe(exitCodes.interrupted);
    expect([...(await readVerifications(pipe.sides.target)).keys()]).toEqual(['goods']);
  });
});

describe('strangler repair', () => {
  test('mends the rows that are named, by the values of their keys, and no others', async () => {
    await damageAll();
    pipe.pump.start();
    try {
      const mended = await pipe.run('repair fixture --table goods --key nord/11 --key Zuletzt/9000 --reason ticket-7');
      expect({ status: mended.status, err: mended.err }).toEqual({ status: exitCodes.done, err: '' });
      expect(mended.out).toMatch(
        /^goods nord\/11: upsert recorded as version 1\/\d+\ngoods Zuletzt\/9000: delete recorded as version 1\/\d+\n2 rows mended/,
      );
    } finally {
      await pipe.pump.stop();
    }
    const left = (await pipe.run('verify fixture --json')).events.filter(({ kind }) => kind === 'difference');
    expect(left).toHaveLength(7);
  });

  test('refuses a key that is none of the table, before anything is recorded', async () => {
    for (const [key, why] of [
      ['Nord', 'expected shop/no'],
      ['Nord/ten', 'expected no as a value of bigint'],
      ['Nord/010', 'expected no as a value of bigint'],
    ]) {
      const refused = await pipe.run(`repair fixture --table goods --key ${key} --reason x`);
      expect(refused).toMatchObject({ status: exitCodes.usage, err: expect.stringContaining(why as string) });
    }
    expect(await pipe.run('repair fixture --key 1 --reason x')).toMatchObject({
      status: exitCodes.usage,
      err: expect.stringContaining('--table <name> with it (goods, plain)'),
    });
    expect(await rowsOf(pipe.sides.source, 'SELECT 1 FROM strangler_outbox WHERE published = 0')).toEqual([]);
  });

  test('refuses to mend more rows than it was told, and mends none', async () => {
    await damageAll();
    expect(await pipe.run('repair fixture --differences --limit 8 --reason x')).toMatchObject({
      status: exitCodes.refused,
      err: expect.stringMatching(/expected at most 8 rows that differ, found more; nothing was changed\. .*--limit/),
    });
    expect(await rowsOf(pipe.sides.source, 'SELECT 1 FROM strangler_outbox WHERE published = 0')).toEqual([]);
  });

  test('says what is still on its way when the time to wait is over, and with --wait 0 does not wait', async () => {
    await damage('UPDATE plain SET v = 6 WHERE id = 2');
    const waiting = await pipe.run('repair fixture --table plain --key 2 --wait 100ms --reason x --json');
    expect(waiting).toMatchObject({
      status: exitCodes.failed,
      err: expect.stringMatching(/such as plain 2 \(on its way\).*"strangler verify fixture"/),
    });
    expect(waiting.events.at(-1)).toMatchObject({ outcome: 'not mended', left: [{ table: 'plain', key: '2' }] });
    const recorded = await pipe.run('repair fixture --table plain --key 2 --wait 0 --reason x');
    expect(recorded).toMatchObject({ status: exitCodes.done, out: expect.stringContaining('1 row recorded') });
    await pipe.pump.empty();
    expect((await pipe.run('verify fixture')).status).toBe(exitCodes.done);
  });

  test('has nothing to do where both sides are equal', async () => {
    expect(await pipe.run('repair fixture --differences --reason x')).toMatchObject({
      status: exitCodes.done,
      out: 'nothing to mend: both sides are equal',
    });
  });
});

test('strangler writers lists who wrote, through which request, and how often', async () => {
  const table = (await pipe.run('writers fixture')).out;
  expect(table).toMatch(
    /^USER +HOST +REQUEST +TABLES +CHANGES +FIRST +LAST\n\S+ +\S+ +- +goods plain +\d+ +\S+Z +\S+Z$/,
  );
  expect(JSON.parse((await pipe.run('writers fixture --newest 1 --json')).out)).toMatchObject([{ changes: 1 }]);
});
