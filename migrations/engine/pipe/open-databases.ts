import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { createPool, dialectOf } from '@strangler/platform/mysql/pool.ts';
import type { Pool } from 'mysql2/promise';
import type { MappedTable } from '../apply/row-shape.ts';
import { createApplyPool, createReadPool } from '../apply/session.ts';
import type { Finding } from '../preflight/finding.ts';
import { type PreflightReport, preflight } from '../preflight/preflight.ts';

/** Both ends of a slice's pipe, each by the sessions that its work needs. */
export type PipeDatabases = {
  slice: Slice;
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
  /** The slice's tables as they are now. @throws SliceNotMappable naming everything that stands in the way. */
  tables(): Promise<MappedTable[]>;
  close(): Promise<void>;
};

export type PipeDatabasesOptions = {
  slice: Slice;
  /** In which the slice file stands. */
  folder: string;
  /** mysql://user:password@host:port/database */
  sourceUrl: string;
  targetUrl: string;
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
  const { slice, folder, sourceUrl, targetUrl, connectionLimit = 4 } = options;
  const limits = { connectionLimit };
  const source = { read: createReadPool(sourceUrl, limits), write: createPool(sourceUrl, limits) };
  const target = { read: createReadPool(targetUrl, limits), apply: createApplyPool(targetUrl, limits) };
  const look = () => preflight({ slice, folder, source: source.read, target: target.read });
  return {
    slice,
    source,
    target,
    preflight: look,
    async tables() {
      const { findings, tables } = await look();
      const refusals = findings.filter(({ level }) => level === 'refuse');
      if (refusals.length > 0) throw new SliceNotMappable(slice.slice, refusals);
      const sourceDialect = await dialectOf(source.read);
      const targetDialect = await dialectOf(target.read);
      return tables.map((table) => ({ ...table, sourceDialect, targetDialect }));
    },
    async close() {
      for (const pool of [source.read, source.write, target.read, target.apply]) await pool.end();
    },
  };
};
