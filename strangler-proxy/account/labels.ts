import type { DecisionReason } from '../decide/decision.ts';
import type { Finished, RequestOutcome } from './account.ts';

/** The side that was asked last, which is the one that answered if any did; `none` where nobody was asked. */
export const sideOf = ({ attempts }: Pick<Finished, 'attempts'>): 'monolith' | 'service' | 'none' =>
  attempts.at(-1)?.instance.side ?? 'none';

/** Why that side: the decision's reason, `fallback` where the other side had to answer, `refused` where nothing was decided. */
export const reasonOf = (request: Pick<Finished, 'attempts' | 'decision'>): DecisionReason | 'fallback' | 'refused' => {
  const { decision } = request;
  if (decision === null) return 'refused';
  const side = sideOf(request);
  return side === 'none' || side === decision.side ? decision.reason : 'fallback';
};

/** `2xx` to `5xx` for an upstream's answer, else what stopped it. */
export const outcomeLabel = (outcome: RequestOutcome): string => {
  switch (outcome.kind) {
    case 'answered':
      return `${Math.floor(outcome.status / 100)}xx`;
    case 'refused':
      return `refused-${outcome.rule}`;
    case 'no-instance':
      return `no-instance-${outcome.why}`;
    case 'gateway':
      return `gateway-${outcome.policy}`;
    case 'held':
      return `held-${outcome.why}`;
    case 'defect':
      return outcome.kind;
    case 'failed':
    case 'broken':
      return `${outcome.kind}-${outcome.error}`;
    case 'client-aborted':
      return `aborted-${outcome.error}`;
  }
};
