import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import { isOpen } from '../engine/cutover/journal.ts';
import { readJournal } from '../engine/cutover/journal-table.ts';
import { type Fence, readFence } from '../engine/fence/fence-state.ts';
import { readBrokerFigures } from '../engine/pipe/broker-figures.ts';
import { pipeNameOf } from '../engine/pipe/direction.ts';
import type { PipeDatabases } from '../engine/pipe/open-databases.ts';
import { observedWriters } from '../engine/writers/observed-writers.ts';
import type { Fact } from './check.ts';
import { factOf } from './fact-of.ts';
import type { SliceFacts } from './facts.ts';

/** Captured changes that are looked at for who made them. */
const newestChanges = 20_000;

/**
 * Asks databases and broker about one slice. Changes nothing, and never rejects. `pipe` is null for a slice that has no
 * tables, or whose databases do not answer; `rabbit` is null for a broker that does not.
 */
export async function gatherSlice(
  slice: string,
  pipe: PipeDatabases | null,
  rabbit: RabbitConnection | null,
  flag: FlagDocument | null,
): Promise<SliceFacts> {
  const nothing: SliceFacts = {
    slice,
    looked: true,
    preflight: null,
    fences: null,
    cutoverOpen: false,
    broker: null,
    writers: null,
  };
  if (pipe === null) return nothing;
  const stage = flag?.stage ?? 'monolith';
  // At its end the slice's tables have gone from the monolith.
  if (stage === 'complete') return nothing;
  const isService = stage === 'writes';
  const fences = await factOf(async () => ({
    monolith: fenceOf(await readFence(pipe.source.read, slice)),
    service: fenceOf(await readFence(pipe.target.read, slice)),
  }));
  const journal = await factOf(() => readJournal(pipe.source.read, slice));
  const owners = isService ? pipe.target.read : pipe.source.read;
  return {
    slice,
    looked: true,
    preflight: await factOf(async () => (await pipe.preflight()).findings),
    fences,
    cutoverOpen: journal.known && journal.value !== undefined && isOpen(journal.value),
    broker:
      rabbit === null || stage === 'monolith'
        ? null
        : await factOf(() =>
            readBrokerFigures(rabbit, { slice: pipeNameOf(slice, isService ? 'reverse' : 'forward') }),
          ),
    writers:
      stage === 'monolith'
        ? null
        : await noOutboxIsNobody(factOf(() => observedWriters(owners, { slice, newest: newestChanges }))),
  };
}

/** Without an outbox nothing was captured, which other checks tell of. */
async function noOutboxIsNobody<T>(asked: Promise<Fact<T[]>>): Promise<Fact<T[]>> {
  const fact = await asked;
  return !fact.known && /doesn't exist/.test(fact.why) ? { known: true, value: [] } : fact;
}

const fenceOf = (fence: Fence | undefined): Pick<Fence, 'state' | 'epoch' | 'owner'> | null =>
  fence === undefined ? null : { state: fence.state, epoch: fence.epoch, owner: fence.owner };
