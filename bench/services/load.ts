import { spawnSync } from 'node:child_process';
import { startWorker } from '../pipe/worker.ts';
import type { Seen } from './figures.ts';
import type { ContestantName, ServiceName } from './works.ts';

/** What requests are made of. */
export type LoadTargets = {
  services: Record<ServiceName, { url: string; grpcAddress: string }>;
  productIds: number[];
  /** Pages by REST, and the ids of what is on them. */
  pages: { path: string; ids: number[] }[];
  /** Products of the inventory, each with more stock than is ever taken. */
  stockIds: number[];
};

export type LoadOrder = {
  name: ContestantName;
  /** Requests under way at any time. */
  atOnce: number;
  seconds: number;
  /** An administrator's. */
  token: string;
};

/** A process that makes requests of all kinds, one kind at a time: REST over as many connections, gRPC over one, as services do. */
export type Load = {
  run(order: LoadOrder): Promise<Seen & { firstFailure: string | null }>;
  stop(): Promise<void>;
};

/** Starts it, on one core where one is given. */
export const startLoad = async (targets: LoadTargets, core: number | null): Promise<Load> => {
  const worker = await startWorker('../services/load-process.ts', JSON.stringify(targets));
  // All its threads; those that it makes later are made by these.
  if (core !== null) spawnSync('taskset', ['-acp', String(core), String(worker.pid)], { stdio: 'ignore' });
  return { run: (order) => worker.ask(order), stop: worker.stop };
};
