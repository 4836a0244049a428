import type { Slice, SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import { createPool, dialectOf } from '@strangler/platform/mysql/pool.ts';
import type { Pool } from 'mysql2/promise';
import type { MappedTable } from '../apply/row-shape.ts';
import { createApplyPool, createReadPool } from '../apply/session.ts';
import type { Finding } from '../preflight/finding.ts';
import { type PreflightReport, preflight } from '../preflight/preflight.ts';
import { preflightReverse } from '../preflight/preflight-reverse.ts';
import { rowsOf } from '../schema/queryable.ts';
import { type CanaryEnd, isCanary, mappedCanary } from './canary.ts';
import type { Direction } from './direction.ts';
import { withoutTables } from './ended-copies.ts';
import { reverseSlice } from './reverse-tables.ts';

/**
 * Both ends of a slice's pipe, each by the sessions that its work needs. Rows flow from `source` to `target`; in reverse
 * the service's database is the source and the monolith's the target.
 */
export type PipeDatabases = {
  /** Under the pipe's name, with the pipe's tables: in reverse those that move, turned round, and the canary's. */
  slice: Slice;
  direction: Direction;
  /** The slice's own name, whichever way its rows flow: of its fences, flags and locks. */
  sliceName: string;
  /** Tables of the slice file that are not among the pipe's: their copying has ended. */
  ended: readonly SliceTable[];
  source: {
    /** Plain reads, UTC. */
    read: Pool;
    /** Ordinary sessions: triggers, the outbox, touches. */
    write: Pool;
  };
  target: {
    read: Pool;
    /** Sessions that capture does not take for writers: for rows of the pipe. */
    apply: Pool;
  };
  /** Looks at both live databases anew. */
  preflight(): Promise<PreflightReport>;
  /** The pipe's tables as they are now, those of `slice`. @throws SliceNotMappable naming everything that stands in the way. */
  tables(): Promise<MappedTable[]>;
  /** Those tables and the canary's in either direction: all that an applier takes, and that may be captured. */
  captured(): Promise<MappedTable[]>;
  close(): Promise<void>;
};

export type PipeDatabasesOptions = {
  slice: Slice;
  /** In which the slice file stands. */
  folder: string;
  /** The monolith's database, whichever way rows flow: mysql://user:password@host:port/database */
  sourceUrl: string;
  /** The service's. */
  targetUrl: string;
  /** See `endedCopies`; none unless told. */
  ended?: readonly SliceTable[];
  /** `forward` unless told. */
  direction?: Direction;
  /** Whether capture may be installed by it, for which the source's account must have the rights; true unless told. */
  captures?: boolean;
  /** Of each of the four pools, 4 unless told. */
  connectionLimit?: number;
};

/** The slice file and the live tables of both databases do not go together. */
export class SliceNotMappable extends Error {
  override name = 'SliceNotMappable';
  readonly findings: readonly Finding[];

  constructor(slice: string, findings: readonly Finding[]) {
    super(
      `${slice}: expected tables that can be copied, found ${findings.length} reasons why not:\n` +
        findings.map(({ where, reason, remedy }) => `  ${where}: ${reason}; ${remedy}`).join('\n'),
    );
    this.findings = findings;
  }
}

/** Opens pools, which connect when they are first used. */
export const openPipeDatabases = (options: PipeDatabasesOptions): PipeDatabases => {
  const { folder, sourceUrl, targetUrl, direction = 'forward', captures = true, connectionLimit = 4 } = options;
  const ended = options.ended ?? [];
  const slice = withoutTables(options.slice, ended);
  const limits = { connectionLimit };
  const [from, to] = direction === 'forward' ? [sourceUrl, targetUrl] : [targetUrl, sourceUrl];
  const source = { read: createReadPool(from, limits), write: createPool(from, limits) };
  const target = { read: createReadPool(to, limits), apply: createApplyPool(to, { ...limits, slice: slice.slice }) };
  const piped = direction === 'forward' ? slice : reverseSlice(slice);
  const look = () =>
    (direction === 'forward' ? preflight : preflightReverse)({
      slice,
      folder,
      source: source.read,
      target: target.read,
    });

  async function canary(): Promise<MappedTable> {
    return mappedCanary(piped.slice, await endOf(source.read), await endOf(target.read));
  }

  async function tables(): Promise<MappedTable[]> {
    const { findings, tables } = await look();
    const refusals = findings.filter(
      (finding) => finding.level === 'refuse' && (captures || !concernsCapture(finding)),
    );
    if (refusals.length > 0) throw new SliceNotMappable(piped.slice, refusals);
    const sourceDialect = await dialectOf(source.read);
    const targetDialect = await dialectOf(target.read);
    const mapped = tables.map((table) => ({ ...table, sourceDialect, targetDialect }));
    return direction === 'forward' ? mapped : [...mapped, await canary()];
  }

  return {
    slice: piped,
    direction,
    sliceName: slice.slice,
    ended,
    source,
    target,
    preflight: look,
    tables,
    async captured() {
      const all = await tables();
      return all.some(isCanary) ? all : [...all, await canary()];
    },
    async close() {
      for (const pool of [source.read, source.write, target.read, target.apply]) await pool.end();
    },
  };
};

/** What the account at the source may not do; rows can be looked at without it. */
const concernsCapture = ({ rule, where }: Finding): boolean =>
  rule === 'trigger-creation-barred' || (rule === 'privilege-missing' && where.startsWith('source '));

async function endOf(db: Pool): Promise<CanaryEnd> {
  const [row] = await rowsOf<{ name: string }>(db, 'SELECT DATABASE() AS name');
  return { database: row?.name ?? '', dialect: await dialectOf(db) };
}
