import type { Log } from '../log.ts';
import { judge, type RefusalReason, type Verdict } from './judge.ts';
import type { TrustMetrics } from './metrics.ts';
import type { TokenVerifier } from './token-verifier.ts';
import type { TrustBundle } from './trust-bundle.ts';

/** `report`: counts and logs what `enforce` would refuse, and lets it through. */
export const trustModes = ['off', 'report', 'enforce'] as const;
export type TrustMode = (typeof trustModes)[number];

/** A call as it came, with what it shows. */
export type Arrival = {
  transport: 'http' | 'grpc';
  /** What is asked for, of which there are few: a route's or a method's name. For logs. */
  operation: string;
  token: string | undefined;
  certificateNames: readonly string[] | undefined;
  allowed: readonly string[];
};

export type Admitted =
  /** `caller` is undefined where nobody asks, or where the call is let through though it would be refused. */
  | { kind: 'admitted'; caller: string | undefined }
  | { kind: 'refused'; as: 'unauthenticated' | 'forbidden'; told: ToldReason };

/** All that a refused caller is told: what a stranger may know, and enough for somebody of ours to look further. */
export type ToldReason = 'service-token-missing' | 'service-token-invalid' | 'caller-not-allowed';

export type Admission = { admit(arrival: Arrival): Promise<Admitted> };

export const openAdmission: Admission = { admit: async () => ({ kind: 'admitted', caller: undefined }) };

export function createAdmission({
  mode,
  self,
  verifier,
  bundle,
  metrics,
  log,
}: {
  mode: Exclude<TrustMode, 'off'>;
  self: string;
  verifier: TokenVerifier;
  bundle: () => TrustBundle;
  metrics: TrustMetrics;
  /** A bounded one: strangers must not be able to fill it. */
  log: Log;
}): Admission {
  const verdictOn = async ({ token, certificateNames, allowed }: Arrival): Promise<Verdict> => {
    const presented = { token: await verifier.verify(token), certificateNames };
    const { knows, grants } = bundle();
    return judge(presented, allowed, { knows, grantsHere: (caller) => grants(caller, self) });
  };
  return {
    async admit(arrival) {
      const { transport, operation, allowed } = arrival;
      const verdict = await verdictOn(arrival);
      if (verdict.kind === 'accepted') {
        metrics.accepted(transport, verdict.caller);
        return { kind: 'admitted', caller: verdict.caller };
      }
      const { as, reason, caller } = verdict;
      metrics.refused(transport, caller, mode, reason);
      const facts = { operation, transport, reason, caller, allowed };
      if (mode === 'report') {
        log.warn(facts, `a call from ${caller ?? 'an unknown caller'} would be refused (${reason})`);
        return { kind: 'admitted', caller: undefined };
      }
      log.warn(facts, `a call from ${caller ?? 'an unknown caller'} was refused (${reason})`);
      return { kind: 'refused', as, told: toldReason(as, reason) };
    },
  };
}

function toldReason(as: 'unauthenticated' | 'forbidden', reason: RefusalReason): ToldReason {
  if (as === 'forbidden') return 'caller-not-allowed';
  return reason === 'missing' ? 'service-token-missing' : 'service-token-invalid';
}

/** For people who read the answer. */
export const toldDetails: Record<ToldReason, string> = {
  'service-token-missing': 'This is for services, and needs a service token',
  'service-token-invalid': 'The service token is not accepted here',
  'caller-not-allowed': 'This caller may not ask for this',
};
