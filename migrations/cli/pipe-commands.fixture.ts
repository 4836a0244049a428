import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLog } from '@strangler/platform/log.ts';
import { type Applier, createApplier } from '../engine/apply/applier.ts';
import { mapped } from '../engine/apply/fixture.ts';
import { goodsColumns } from '../engine/apply/goods.fixture.ts';
import { backfillTable, parkedTable, verifyRecordTable, versionsTable } from '../engine/apply/own-tables.ts';
import { capture, createPump, openSides, type PipeSides, type Pump } from '../engine/apply/pipe.fixture.ts';
import type { MappedTable } from '../engine/apply/row-shape.ts';
import { runProgram } from './program.ts';

/** What a command line did. */
export type Ran = {
  status: number;
  out: string;
  err: string;
  /** The lines of standard output, of a command that was given --json. */
  events: Record<string, unknown>[];
};

/** Two databases of the slice `fixture`, with tables goods and plain, and a pump that stands for the pipe between them. */
export type CliPipe = {
  sides: PipeSides;
  pump: Pump;
  applier: Applier;
  tables: { goods: MappedTable; plain: MappedTable };
  environment: Record<string, string>;
  /** Runs `strangler <words>`, the words separated by spaces; `watch` sees each line of output as it comes. */
  run(line: string, watch?: (line: string, stop: AbortController) => void): Promise<Ran>;
  /** Captures both tables from now on. */
  capture(): Promise<void>;
  /** As if nothing had ever been written or copied. */
  empty(): Promise<void>;
  close(): Promise<void>;
};

export async function cliPipe(label: string): Promise<CliPipe> {
  const sides = await openSides(label);
  const slices = await mkdtemp(join(tmpdir(), 'slices-'));
  await mkdir(join(slices, 'fixture'));
  await writeFile(
    join(slices, 'fixture/slice.yaml'),
    'slice: fixture\nservice: fixture\nroutes: [ GET /goods ]\ntables: [ { source: goods }, { source: plain } ]\n',
  );
  for (const pool of [sides.source, sides.target]) {
    await pool.query(`CREATE TABLE goods (${goodsColumns})`);
    await pool.query('CREATE TABLE plain (id INT PRIMARY KEY, email VARCHAR(20) NOT NULL UNIQUE, v INT NULL)');
  }
  const tables = {
    goods: await mapped(sides, { source: 'goods' }),
    plain: await mapped(sides, { source: 'plain' }),
  };
  const log = createLog({ name: label, level: 'silent' });
  const applier = createApplier({ pool: sides.applyTarget, tables: Object.values(tables), log });
  const environment = {
    STRANGLER_SOURCE: sides.sourceAdminUrl,
    STRANGLER_TARGET: sides.targetUrl,
    STRANGLER_SLICES: slices,
    STRANGLER_USER: 'ada',
  };
  return {
    sides,
    pump: createPump(sides.source, applier),
    applier,
    tables,
    environment,
    async run(line, watch) {
      const stop = new AbortController();
      const out: string[] = [];
      const err: string[] = [];
      const status = await runProgram(line.split(' '), {
        out(text) {
          out.push(text);
          watch?.(text, stop);
        },
        err: (text) => err.push(text),
        environment,
        log,
        signal: stop.signal,
      });
      const events = line.includes('--json') ? out.map((text) => JSON.parse(text) as Record<string, unknown>) : [];
      return { status, out: out.join('\n'), err: err.join('\n'), events };
    },
    capture: () => capture(sides, Object.values(tables)),
    async empty() {
      for (const table of ['goods', 'plain', 'strangler_outbox']) await sides.source.query(`DELETE FROM ${table}`);
      for (const table of ['goods', 'plain', versionsTable, parkedTable, backfillTable, verifyRecordTable]) {
        await sides.target.query(`DELETE FROM ${table}`);
      }
    },
    async close() {
      await sides.close();
      await rm(slices, { recursive: true });
    },
  };
}
