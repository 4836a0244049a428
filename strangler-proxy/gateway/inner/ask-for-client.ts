import type { Accepted } from '../../accept/accept.ts';
import type { AttemptRecord } from '../../account/account.ts';
import type { Decide, Decision } from '../../decide/decision.ts';
import type { Forward } from '../../forward/forwarder.ts';
import type { Shadow } from '../../shadow/shadow.ts';
import type { Upstreams } from '../../upstream/upstream.ts';
import type { Ask } from '../policy.ts';
import { createAskOrigin } from './origin.ts';

export type AskForClientParts = {
  upstreams: Upstreams;
  forward: Forward;
  decide: Decide;
  /** Null where no slice's answers are compared. */
  shadow: Pick<Shadow, 'watch'> | null;
};

/**
 * What policies ask on behalf of a client's request: it goes where the client's own would go, is compared like that, and what
 * is asked live counts among the client's attempts.
 */
export function createAskForClient({ upstreams, forward, decide, shadow }: AskForClientParts) {
  const askOrigin = createAskOrigin({ upstreams, forward });
  return (accepted: Accepted, decision: Decision, attempts: AttemptRecord[]): Ask =>
    async ({ outgoing, facts, compare, how, signal }) => {
      const decided = facts === undefined ? decision : decide(facts);
      const watched =
        shadow !== null && compare && how === 'live'
          ? shadow.watch({ facts: facts ?? accepted.facts, outgoing }, decided)
          : null;
      outgoing.tap = watched?.tap ?? null;
      const answer = await askOrigin({
        ...{ outgoing, decision: decided, attempts: how === 'live' ? attempts : [] },
        ...(signal === undefined ? {} : { signal }),
      });
      if (watched !== null) {
        if (answer.kind === 'failed') watched.over(false);
        else {
          const tell = (answered: boolean): void => watched.over(answered);
          answer.over.then(({ kind }) => tell(kind === 'answered')).catch(() => tell(false));
        }
      }
      return answer;
    };
}
