import cluster, { type Worker } from 'node:cluster';
import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { WorkerStatus } from '@strangler/platform/contracts/proxy-status.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { CountedReads } from '../canary/count-reads.ts';
import type { Agreement } from '../hold/agreement.ts';
import { isToPrimary, type ToWorker } from './messages.ts';

export type CrewOptions = {
  count: number;
  log: Log;
  /** The environment that workers start with. */
  env: NodeJS.ProcessEnv;
  /** How long a stopping worker may take before it is killed. */
  graceMs: number;
  /** What the workers say about holds; `counted` comes before a worker takes traffic. */
  agreement: Pick<Agreement, 'counted' | 'gone' | 'says'>;
  /** What a worker has counted of slices at stage `canary`. */
  onReads(reads: readonly CountedReads[]): void;
  /** What a worker that is counted is told at once. */
  standing(): ToWorker;
};

/** The worker processes that share the proxy's port. */
export type Crew = {
  /** The port, when every worker listens. Rejects when a worker says that it cannot. */
  listening: Promise<number>;
  /** What each worker says of itself; one that does not answer within a second is left out. */
  statuses(): Promise<WorkerStatus[]>;
  tellAll(message: ToWorker): void;
  /** How many workers listen now. */
  size(): number;
  /** Asks every worker to stop, and kills those that do not in time. */
  stop(reason: string): Promise<void>;
};

const answerWithinMs = 1000;
const restart = { baseMs: 100, capMs: 5000 };

/** Starts workers, and starts another for each one that dies. */
export const startCrew = ({ count, log, env, graceMs, agreement, onReads, standing }: CrewOptions): Crew => {
  const listeners = new Set<Worker>();
  const alive = new Set<Worker>();
  const questions = new Map<number, (status: WorkerStatus, worker: Worker) => void>();
  const started = Promise.withResolvers<number>();
  let stopping = false;
  let lastQuestion = 0;

  const tell = (worker: Worker, message: ToWorker): void => {
    if (worker.isConnected()) worker.send(message);
  };

  const start = (number: number, previousDelayMs?: number): void => {
    const worker = cluster.fork({ ...env, WORKER_NUMBER: String(number) });
    let listened = false;
    alive.add(worker);
    worker.on('message', (message: unknown) => {
      if (!isToPrimary(message)) return;
      switch (message.kind) {
        case 'listening':
          listened = true;
          listeners.add(worker);
          if (listeners.size === count) started.resolve(message.port);
          break;
        case 'knows-flags':
          agreement.counted(worker.id);
          // After it is counted: what was acknowledged without it is in what it is told, the rest waits for it.
          tell(worker, standing());
          break;
        case 'hold':
          agreement.says(worker.id, message.slice, message.hold);
          break;
        case 'canary':
          onReads(message.reads);
          break;
        case 'unusable':
          started.reject(new Error(message.why));
          break;
        case 'status':
          questions.get(message.question)?.(message.status, worker);
          break;
      }
    });
    worker.on('exit', (code, signal) => {
      alive.delete(worker);
      listeners.delete(worker);
      agreement.gone(worker.id);
      if (stopping) return;
      // A worker that never listened would die again at once: wait longer each time.
      const delayMs = nextBackoffMs(listened ? undefined : (previousDelayMs ?? restart.baseMs), restart);
      log.error(
        { worker: number, pid: worker.process.pid, code, signal, restartInMs: delayMs },
        'worker died, starting another',
      );
      void pause(delayMs).then(() => {
        if (!stopping) start(number, listened ? undefined : delayMs);
      });
    });
  };
  for (let number = 1; number <= count; number += 1) start(number);

  const statuses = (): Promise<WorkerStatus[]> =>
    new Promise((resolve) => {
      const asked = new Set(listeners);
      const answers: WorkerStatus[] = [];
      lastQuestion += 1;
      const question = lastQuestion;
      const finish = (): void => {
        clearTimeout(timer);
        questions.delete(question);
        resolve(answers.sort((one, other) => one.worker - other.worker));
      };
      const timer = setTimeout(finish, answerWithinMs);
      questions.set(question, (status, worker) => {
        answers.push(status);
        asked.delete(worker);
        if (asked.size === 0) finish();
      });
      for (const worker of asked) tell(worker, { kind: 'tell-status', question });
      if (asked.size === 0) finish();
    });

  const stop = async (reason: string): Promise<void> => {
    stopping = true;
    await Promise.all(
      [...alive].map(async (worker) => {
        const gone = new Promise((resolve) => worker.once('exit', resolve));
        tell(worker, { kind: 'stop', reason });
        const giveUp = setTimeout(() => worker.process.kill('SIGKILL'), graceMs);
        await gone;
        clearTimeout(giveUp);
      }),
    );
  };

  const tellAll = (message: ToWorker): void => {
    for (const worker of alive) tell(worker, message);
  };

  return { listening: started.promise, statuses, tellAll, size: () => listeners.size, stop };
};
