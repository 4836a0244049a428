import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { watchPrefix } from '@strangler/platform/consul/watch.ts';
import {
  orderKeys,
  orderTakenWithinMs,
  parseSliceOrder,
  type SliceOrder,
} from '@strangler/platform/contracts/slice-order.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import { documentInForce } from './document-in-force.ts';
import { exitCodes } from './exit-codes.ts';
import type { RunWords } from './publish-command.ts';
import type { Terminal } from './terminal.ts';

export type TakeOrdersOptions = {
  consul: ConsulClient;
  root: string;
  store: FlagStore;
  /** Whose orders are carried out. */
  slices: readonly string[];
  terminal: Terminal;
  run: RunWords;
};

const mostLines = 50;
const tellEveryMs = 500;

/** What becomes of an order by the exit status of its command. */
export const stateAfter = (exitCode: number): SliceOrder['state'] => {
  if (exitCode === exitCodes.done) return 'done';
  const refusals: readonly number[] = [exitCodes.refused, exitCodes.conflict, exitCodes.usage];
  return refusals.includes(exitCode) ? 'refused' : 'failed';
};

/**
 * Carries out what is ordered: the same commands that a person would type, in the name of whoever ordered. An order is
 * taken by compare-and-swap, so that of two such processes one does it. One whose process died makes room for
 * another once nothing was heard of it for long.
 */
export const takeOrders = (options: TakeOrdersOptions): { stop(): Promise<void> } => {
  const { consul, root, store, slices, terminal, run } = options;
  const underWay = new Map<string, Promise<void>>();
  const key = (slice: string): string => orderKeys(root).slice(slice);

  const carryOut = async (asked: SliceOrder, modifyIndex: number): Promise<void> => {
    let order: SliceOrder = { ...asked, state: 'running', stateAt: new Date().toISOString() };
    if (!(await consul.kv.put(key(order.slice), JSON.stringify(order), { cas: modifyIndex }))) return;
    const tell = async (): Promise<void> => {
      order = { ...order, stateAt: new Date().toISOString() };
      await consul.kv.put(key(order.slice), JSON.stringify(order));
    };
    const end = async (state: SliceOrder['state'], line?: string): Promise<void> => {
      const lines = line === undefined ? order.lines : [...order.lines, line];
      order = { ...order, state, lines: lines.slice(-mostLines), stateAt: new Date().toISOString() };
      await tell();
    };
    const { stage } = await documentInForce(store, order.slice);
    if (stage !== order.from) return await end('refused', `expected the stage ${order.from}, found ${stage}`);
    const note = (text: string): void => {
      const lines = text.split('\n').map((line) => line.slice(0, 2_000));
      order = { ...order, lines: [...order.lines, ...lines].slice(-mostLines), stateAt: new Date().toISOString() };
    };
    const telling = setInterval(() => {
      tell().catch((error: unknown) => terminal.log.warn({ err: error }, 'how an order goes could not be told'));
    }, tellEveryMs);
    try {
      const { ask: _nobody, screen: _none, ...rest } = terminal;
      const words = [order.what, order.slice, '--by', order.by, '--reason', order.reason];
      const exitCode = await run(words, { ...rest, out: note, err: note });
      clearInterval(telling);
      await end(stateAfter(exitCode));
    } finally {
      clearInterval(telling);
    }
  };

  const watch = watchPrefix(consul, orderKeys(root).all, {
    onChange(entries) {
      for (const [, { value, modifyIndex }] of entries) {
        const order = parseSliceOrder(value);
        if (order === null || !slices.includes(order.slice) || underWay.has(order.slice)) continue;
        if (order.state !== 'asked' || Date.now() - Date.parse(order.at) > orderTakenWithinMs) continue;
        const work = carryOut(order, modifyIndex)
          .catch((error: unknown) =>
            terminal.err(`strangler: ${order.slice}: the order failed: ${(error as Error).message}`),
          )
          .finally(() => underWay.delete(order.slice));
        underWay.set(order.slice, work);
      }
    },
  });
  return {
    async stop() {
      watch.stop();
      await Promise.all([watch.stopped, ...underWay.values()]);
    },
  };
};
