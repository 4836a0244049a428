import { createConsul } from '@strangler/platform/consul/client.ts';
import type { Slice, SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import { createConsulFlagStore } from '@strangler/platform/flags/consul-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import { openPipeDatabases } from '../pipe/open-databases.ts';
import { defaultGateBounds } from '../stages/gates.ts';
import type { CutoverEvent, CutoverWork } from './cutover-work.ts';

/** What a process needs to make the work of a cut-over; sent to it as JSON. */
export type CutoverPlace = {
  slice: Slice;
  folder: string;
  monolithUrl: string;
  serviceUrl: string;
  consulUrl: string;
  rabbitmqUrl: string;
  root: string;
  exchange: string;
  proxyService: string;
  /** Tables of the slice whose copying has ended; none unless told. */
  ended?: readonly SliceTable[];
};

/** What makes and ends the work of a cut-over. */
export function openWork(place: CutoverPlace, tell: (event: CutoverEvent) => void = () => {}) {
  const log = createLog({ name: 'coordinator', level: process.env.TEST_LOG_LEVEL ?? 'silent' });
  const { slice, folder, root, exchange, proxyService } = place;
  const ends = { slice, folder, sourceUrl: place.monolithUrl, targetUrl: place.serviceUrl, ended: place.ended ?? [] };
  const forward = openPipeDatabases({ ...ends, direction: 'forward' });
  const reverse = openPipeDatabases({ ...ends, direction: 'reverse' });
  const client = createConsul({ url: place.consulUrl, log });
  const rabbit = connect({ url: place.rabbitmqUrl, log });
  const stopping = new AbortController();
  const work: CutoverWork = {
    forward,
    reverse,
    store: createConsulFlagStore({ consul: client, root }),
    rabbit,
    exchange,
    author: { by: 'a test', reason: '' },
    // A machine at its limits is late, and nothing is wrong with that.
    bounds: { ...defaultGateBounds, maxLagMs: 60_000 },
    log,
    signal: stopping.signal,
    consul: { client, root },
    proxyService,
    tell,
  };
  const close = async (): Promise<void> => {
    await forward.close();
    await reverse.close();
    await rabbit.close();
    client.close();
  };
  return { work, stop: () => stopping.abort(), close };
}
