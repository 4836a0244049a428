import type { Accepted } from '../../accept/accept.ts';
import type { AttemptRecord } from '../../account/account.ts';
import type { Decide, Decision, RequestFacts } from '../../decide/decision.ts';
import type { Forward } from '../../forward/forwarder.ts';
import type { Shadow } from '../../shadow/shadow.ts';
import type { Upstreams } from '../../upstream/upstream.ts';
import type { Gateway } from '../gateway.ts';
import type { Ask, AskAnother, Asked } from '../policy.ts';
import { createAskOrigin, type OriginAnswer } from './origin.ts';

export type AskForClientParts = {
  upstreams: Upstreams;
  forward: Forward;
  decide: Decide;
  /** Null where no slice's answers are compared. */
  shadow: Pick<Shadow, 'watch'> | null;
  /** Null where no policies are configured. */
  gateway: Pick<Gateway, 'enter'> | null;
};

/** What policies may ask on behalf of one client's request. */
export type AskForClient = { ask: Ask; askAnother: AskAnother };

/**
 * What policies ask on behalf of a client's request: it goes where the client's own would go, is compared like that, and what
 * is asked live counts among the client's attempts. Another request than the client's own first passes what stands on its own route, or a
 * part of a page would be a way past it.
 */
export function createAskForClient({ upstreams, forward, decide, shadow, gateway }: AskForClientParts) {
  const askOrigin = createAskOrigin({ upstreams, forward });

  return (accepted: Accepted, decision: Decision, attempts: AttemptRecord[]): AskForClient => {
    const askDecided = async (
      { outgoing, compare, how, signal }: Asked,
      facts: RequestFacts,
      decided: Decision,
    ): Promise<OriginAnswer> => {
      const watched = shadow !== null && compare && how === 'live' ? shadow.watch({ facts, outgoing }, decided) : null;
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

    const askAnother: AskAnother = async (asked) => {
      const { facts, outgoing } = asked;
      const passage = gateway === null ? null : gateway.enter({ ...accepted, facts, outgoing });
      if (passage === null) return await askDecided(asked, facts, decide(facts));
      if (passage.kind === 'misread') return { kind: 'refused', policy: passage.policy, refusal: passage.refusal };
      try {
        const entry = await passage.check();
        if (entry.kind === 'refused') {
          passage.over();
          return entry;
        }
        // Whoever asked reads the answer; what policies say of answers they say of the client's own.
        outgoing.filter = null;
        const answer = await askDecided(asked, facts, decide(facts));
        if (answer.kind === 'failed') passage.over();
        else answer.over.finally(() => passage.over()).catch(() => {});
        return answer;
      } catch (error) {
        passage.over();
        throw error;
      }
    };

    return { ask: (asked) => askDecided(asked, accepted.facts, decision), askAnother };
  };
}
