import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { createDecide } from '../decide/decide.ts';
import type { HoldBounds } from '../hold/hold-queue.ts';
import { createWriteGate, type HoldEnd, type QuietHold, type WriteGate } from '../hold/write-gate.ts';
import { buildRouteTable } from '../routes/route-table.ts';
import { type InProcessProxy, type InProcessWishes, startTransparentProxy } from './start-transparent-proxy.ts';

export type HeldProxy = InProcessProxy & {
  gate: WriteGate;
  /** Puts a flag document in force: who owns the writes, under the next epoch. */
  own(owner: 'monolith' | 'service'): FlagDocument;
  hold(forMs?: number): FlagDocument;
  /** What was told of quiet slices, oldest first. */
  quiet: (QuietHold | null)[];
  ends: HoldEnd[];
  heldNow(): number;
};

/** A proxy within this process with one slice, `catalog`, that owns `/api/products`, and whose flag the test sets. */
export const startHeldProxy = async (wishes: {
  monolith: readonly string[];
  service?: readonly string[];
  bounds?: Partial<HoldBounds>;
  /** What else the proxy is to have. */
  more?: Partial<InProcessWishes>;
}): Promise<HeldProxy> => {
  let flag: FlagDocument = {
    slice: 'catalog',
    stage: 'reads',
    reads: { percent: 100, cohorts: [] },
    writes: { owner: 'monolith' },
    epoch: 1,
    change: { id: 'change-1', by: 'test', at: new Date().toISOString(), reason: '' },
  };
  const quiet: HeldProxy['quiet'] = [];
  const ends: HoldEnd[] = [];
  const gate = createWriteGate({
    bounds: { maxWaiting: 2_000, maxWaitMs: 30_000, releaseConcurrency: 4, ...wishes.bounds },
    whenCutOff: 'hold',
    flagOf: (slice) => (slice === 'catalog' ? flag : undefined),
    account: { held() {}, ended: (_slice, end) => void ends.push(end) },
    onQuiet: (_slice, hold) => void quiet.push(hold),
  });
  const routes = buildRouteTable([
    {
      slice: 'catalog',
      service: 'catalog',
      routes: [
        { method: 'GET', path: '/api/products', access: 'read' },
        { method: 'POST', path: '/api/products', access: 'write' },
        { method: 'PUT', path: '/api/products/:id', access: 'write' },
      ],
      stickyBy: [],
    } as never,
  ]);
  const decide = createDecide({
    routes,
    flagOf: (slice) => (slice === 'catalog' ? flag : undefined),
    newStickyId: () => crypto.randomUUID(),
    secureCookie: false,
    ownWrites: null,
  });
  const proxy = await startTransparentProxy({
    monolith: wishes.monolith,
    service: wishes.service ?? [],
    decide,
    gate,
    ...wishes.more,
  });
  const put = (writes: FlagDocument['writes']): FlagDocument => {
    const epoch = flag.epoch + 1;
    flag = { ...flag, writes, epoch, change: { ...flag.change, id: `change-${epoch}` } };
    gate.flagChanged('catalog');
    return flag;
  };
  const side = () => (flag.writes.owner === 'held' ? flag.writes.from : flag.writes.owner);
  return {
    ...proxy,
    gate,
    own: (owner) => put({ owner }),
    hold: (forMs = 20_000) => {
      const from = side();
      const to = from === 'monolith' ? 'service' : 'monolith';
      return put({ owner: 'held', from, to, deadline: new Date(Date.now() + forMs).toISOString() });
    },
    quiet,
    ends,
    heldNow: () => gate.status()[0]?.heldNow ?? 0,
  };
};
