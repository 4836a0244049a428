import { type Backoff, nextBackoffMs, pause } from '../../backoff.ts';
import type { Log } from '../../log.ts';
import { partCount } from '../part.ts';
import { leaseTable, outboxTable, type Queryable, rowsOf, sourceTable } from '../schema.ts';
import type { Relay } from './relay.ts';

/** A database may have no outbox yet, or no more: there is nothing to publish then, and nothing is wrong. */
export type RelayState = 'looking for the outbox' | 'waiting for the outbox' | 'publishing';

export type KeptRelay = {
  state(): RelayState;
  /** Why it does not do what it should; undefined when it does, or waits. */
  trouble(): string | undefined;
  stop(graceMs: number): Promise<void>;
};

/** A relay of the outbox that is there now, with what runs beside it. */
export type StartedRelay = Pick<Relay, 'source' | 'trouble'> & {
  stop(graceMs: number): Promise<void>;
  abandon(): Promise<void>;
};

const backoff: Backoff = { baseMs: 100, capMs: 5_000 };

/**
 * Runs a relay as long as there is an outbox: begins when one appears, ends without a fuss when it is dropped, and begins
 * anew with another that has taken its place. Whether it is the same is told by its UUID.
 */
export function keepRelay({
  db,
  start,
  log,
  lookEveryMs = 500,
}: {
  db: Queryable;
  start(): Promise<StartedRelay>;
  log: Log;
  lookEveryMs?: number;
}): KeptRelay {
  const stopping = new AbortController();
  let state: RelayState = 'looking for the outbox';
  let relay: StartedRelay | undefined;
  let failure: string | undefined;
  let finalGraceMs = 0;
  const running = run();

  async function run(): Promise<void> {
    let delayMs: number | undefined;
    while (!stopping.signal.aborted) {
      try {
        const source = await readOutbox(db);
        failure = undefined;
        delayMs = undefined;
        if (source === undefined) await beWithout();
        else if (relay === undefined) await begin();
        else if (relay.source !== source) await end();
        if (relay?.source === source) await pause(lookEveryMs, stopping.signal);
      } catch (error) {
        failure = error instanceof Error ? error.message : String(error);
        log.warn({ err: error }, 'the outbox could not be looked for; trying on');
        delayMs = nextBackoffMs(delayMs ?? backoff.baseMs, backoff);
        await pause(delayMs, stopping.signal);
      }
    }
    await relay?.stop(finalGraceMs);
  }

  async function begin(): Promise<void> {
    relay = await start();
    state = 'publishing';
    log.info({ source: relay.source }, 'publishing the outbox');
  }

  async function beWithout(): Promise<void> {
    if (relay !== undefined) await end();
    if (state !== 'waiting for the outbox') log.info('waiting for the outbox: the database has none');
    state = 'waiting for the outbox';
    await pause(lookEveryMs, stopping.signal);
  }

  async function end(): Promise<void> {
    const gone = relay;
    relay = undefined;
    log.info({ source: gone?.source }, 'the outbox is not there any more');
    await gone?.abandon();
  }

  return {
    state: () => state,
    trouble: () => failure ?? relay?.trouble(),
    async stop(graceMs) {
      finalGraceMs = graceMs;
      stopping.abort();
      await running;
    },
  };
}

/** The UUID of the outbox that stands whole in the database; undefined where none does. */
async function readOutbox(db: Queryable): Promise<string | undefined> {
  try {
    const [found] = await rowsOf<{ uuid: string; leases: number }>(
      db,
      `SELECT uuid, (SELECT COUNT(*) FROM ${leaseTable}) AS leases, (SELECT part FROM ${outboxTable} WHERE id = 0) AS none
       FROM ${sourceTable} WHERE only_row = 1`,
    );
    return Number(found?.leases) === partCount ? found?.uuid : undefined;
  } catch (error) {
    // ER_NO_SUCH_TABLE: not all of it is there yet, or any more.
    if ((error as { errno?: unknown }).errno === 1146) return undefined;
    throw error;
  }
}
