import type { GivenUp } from '../retry/next-attempt.ts';
import type { HoldRefusal } from './write-gate.ts';

const answer = (title: string, detail: string): GivenUp => ({
  status: 503,
  title,
  detail: `${detail} Nothing was changed; try again shortly.`,
  headers: { 'Retry-After': '1' },
});

/** What a client is told whose write the proxy did not send on because of its slice's ownership. */
export const heldAnswers: Readonly<Record<HoldRefusal | 'stale-epoch', GivenUp>> = {
  deadline: answer('Writes are held', 'What this request would change is being moved to another server.'),
  full: answer(
    'Writes are held',
    'What this request would change is being moved, and as many requests as may wait for it already.',
  ),
  'cut-off': answer('Owner not known', 'Which server owns what this request would change cannot be found out now.'),
  stopping: answer('Writes are held', 'What this request would change is being moved, and this proxy stops.'),
  'stale-epoch': answer('Owner has changed', 'What this request would change has just been moved to another server.'),
};
