import type { TokenFault } from './claims.ts';
import type { TokenVerdict } from './token-verifier.ts';

/** By what a caller shows who it is. */
export type Presented = {
  token: TokenVerdict;
  /** The names in its certificate, where it has shown one that our authority has signed. */
  certificateNames: readonly string[] | undefined;
};

export type RefusalReason = TokenFault | 'missing' | 'certificate' | 'not_granted' | 'not_allowed';

export type Verdict =
  | { kind: 'accepted'; caller: string }
  /** `unauthenticated`: nobody knows who calls. `forbidden`: somebody known, who may not do this. */
  | { kind: 'refused'; as: 'unauthenticated' | 'forbidden'; reason: RefusalReason; caller: string | undefined };

/** What the trust file says. */
export type Grants = { knows(caller: string): boolean; grantsHere(caller: string): boolean };

/**
 * Whether a call may be done. `allowed` are the callers that the route or method names; who is not named is refused, and so is
 * everybody where none is. A caller needs a token or a certificate; where both are shown they must agree, and a bad token is not
 * mended by a good certificate.
 */
export function judge({ token, certificateNames }: Presented, allowed: readonly string[], grants: Grants): Verdict {
  const unknown = (reason: RefusalReason): Verdict => {
    return { kind: 'refused', as: 'unauthenticated', reason, caller: undefined };
  };
  if (token.kind === 'invalid') return unknown(token.fault);
  let caller: string;
  if (token.kind === 'valid') {
    if (certificateNames !== undefined && !certificateNames.includes(token.caller)) return unknown('certificate');
    caller = token.caller;
  } else {
    if (certificateNames === undefined) return unknown('missing');
    const [only, ...others] = certificateNames.filter((name) => grants.knows(name));
    if (only === undefined || others.length > 0) return unknown('certificate');
    caller = only;
  }
  if (!grants.grantsHere(caller)) return { kind: 'refused', as: 'forbidden', reason: 'not_granted', caller };
  if (!allowed.includes(caller)) return { kind: 'refused', as: 'forbidden', reason: 'not_allowed', caller };
  return { kind: 'accepted', caller };
}

/** Who may call which method, by service and method name as in the .proto file; `*` stands for the methods that are not named. */
export type GrpcCallers = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

/** The callers of a method by its path, `/package.Service/Method`. Nobody, where nothing is said of it. */
export function callersOfMethod(callers: GrpcCallers, path: string): readonly string[] {
  const [, service = '', method = ''] = /^\/(?:[^/]*\.)?([^/.]+)\/([^/]+)$/.exec(path) ?? [];
  const methods = own(callers, service);
  return (methods && (own(methods, method) ?? own(methods, '*'))) ?? [];
}

function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
