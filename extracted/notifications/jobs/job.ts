import type { NotificationKind } from '../notifications/wording.ts';

/** Work that is done outside of the transaction that asks for it. */
export const jobKinds = ['email', 'invoice', 'digest'] as const;
export type JobKind = (typeof jobKinds)[number];

export const jobStates = ['pending', 'running', 'done', 'failed'] as const;
export type JobState = (typeof jobStates)[number];

/** A job as the database has it, which is the truth of it: Redis only says whose turn it is. */
export type Job = {
  /** Derived from what the job is about, so that there is one of it however often it is asked for. */
  id: string;
  kind: JobKind;
  accountId: number;
  notificationId: number | null;
  orderId: number | null;
  /** Of a digest: the day, `YYYY-MM-DD`. */
  day: string | null;
  /** The job that has to be over before this one begins; null: none. */
  after: string | null;
  state: JobState;
  /** 1 is done first. */
  priority: number;
  /** Not before this. */
  runAt: Date;
  attempts: number;
  /** Attempts that ended without a word: whether they took effect nobody knows. */
  doubtful: number;
  /** Per cent. */
  progress: number;
  /** While it is running: whoever runs it has it until then. */
  leaseUntil: Date | null;
  /** Why the last attempt failed. */
  error: string | null;
  /** What became of it, in a word: `sent`, `read before`, `no address`… */
  result: string | null;
  createdAt: Date;
  finishedAt: Date | null;
};

/** A job that is asked for. */
export type NewJob = Pick<
  Job,
  'id' | 'kind' | 'accountId' | 'notificationId' | 'orderId' | 'day' | 'after' | 'priority' | 'runAt'
>;

export const jobIds = {
  email: (notificationId: number) => `email-${notificationId}`,
  invoice: (orderId: number) => `invoice-${orderId}`,
  digest: (day: string, accountId: number) => `digest-${day}-${accountId}`,
};

/** BullMQ's: from 1, the smaller first. What says that money was not taken is wanted at once; a digest can wait. */
export function priorityOf(what: NotificationKind | 'invoice' | 'digest'): number {
  switch (what) {
    case 'payment_failed':
      return 1;
    case 'invoice':
      return 2;
    case 'digest':
      return 20;
    default:
      return 5;
  }
}

/** After so many attempts of which nobody knows whether they took effect, a person has to look. */
export const mostDoubtful = 1;

export type Begin =
  /** `doubtful` counts this job's attempts without a word, the last one included. */
  | { outcome: 'run'; doubtful: number }
  /** Somebody else has it until then. */
  | { outcome: 'busy'; forMs: number }
  | { outcome: 'over'; state: 'done' | 'failed' }
  /** It must not be tried again by itself. */
  | { outcome: 'give up'; doubtful: number };

/**
 * What somebody who is to run a job does with it. One that is still `running` after its lease is over was left by a process that
 * died, or that could not say: its mail may have gone out.
 */
export function begin(job: Pick<Job, 'state' | 'leaseUntil' | 'doubtful'>, now: Date): Begin {
  if (job.state === 'done' || job.state === 'failed') return { outcome: 'over', state: job.state };
  if (job.state === 'pending') return { outcome: 'run', doubtful: job.doubtful };
  const leftMs = (job.leaseUntil?.getTime() ?? 0) - now.getTime();
  if (leftMs > 0) return { outcome: 'busy', forMs: leftMs };
  const doubtful = job.doubtful + 1;
  return doubtful > mostDoubtful ? { outcome: 'give up', doubtful } : { outcome: 'run', doubtful };
}

/** How an attempt failed. `unknown`: it may have taken effect all the same. */
export type Failure = 'for now' | 'for good' | 'unknown';

/** What is written of a failed attempt. `last`: nobody tries again by himself. */
export function afterFailure(
  failure: Failure,
  { last, doubtful }: { last: boolean; doubtful: number },
): { state: 'pending' | 'failed'; doubtful: number } {
  const doubts = doubtful + (failure === 'unknown' ? 1 : 0);
  const over = last || failure === 'for good' || doubts > mostDoubtful;
  return { state: over ? 'failed' : 'pending', doubtful: doubts };
}

/** Whether a job that the database says is not over needs somebody to put it into Redis again. */
export function isLost(job: Pick<Job, 'state' | 'leaseUntil' | 'runAt'>, now: Date, afterMs: number): boolean {
  if (job.state === 'pending') return job.runAt.getTime() + afterMs < now.getTime();
  return job.state === 'running' && (job.leaseUntil?.getTime() ?? 0) + afterMs < now.getTime();
}
