/** The two sides of a strangled slice. */
export type Side = 'monolith' | 'service';

export type Access = 'read' | 'write';

/** Why a request goes where it goes: one word a rule, used in the log, the metrics and the answer's header. */
export type DecisionReason =
  | 'no-slice'
  | 'no-flag'
  | 'forced'
  | 'cohort'
  | 'percentage'
  | 'own-write'
  | 'all-monolith'
  | 'all-service'
  | 'write-owner'
  | 'held';

/** Where one request goes, and all that the forwarder needs to know of it. */
export type Decision = {
  side: Side;
  reason: DecisionReason;
  access: Access;
  /** The slice that claims the route, or null where none does. */
  slice: string | null;
  /** The slice's service in Consul, or null where no slice claims the route. */
  service: string | null;
  /** The matched route's template, `/api/products/:id`, for metrics; null where no slice claims the route. */
  route: string | null;
  /** The monolith may serve this read when the service cannot: its data is kept in step. */
  monolithMayServe: boolean;
  /** The owner's epoch, sent with writes; null where no flag document is known. */
  epoch: number | null;
  /** `change.id` of the flag document that was obeyed; null where none is known. */
  changeId: string | null;
  /** A write after which its user reads where it was taken, once it is answered well: what the user is known by; else null. */
  ownWrite: { stickyBy: readonly string[] } | null;
  /** A `Set-Cookie` value to add to the answer, so that an anonymous user stays on one side; else null. */
  setCookie: string | null;
  /** Whether the caller may see side and reason in the answer's headers. */
  disclose: boolean;
};

/** The claims of a token whose signature and times have been checked. */
export type VerifiedClaims = Readonly<Record<string, unknown>>;

/** What a decision may look at: facts of the request, already freed of what a client must not say. */
export type RequestFacts = {
  method: string;
  /** Path without query, as received. */
  path: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Address of the client as the edge knows it. */
  clientAddress: string;
  /** The caller proved to be an operator (token, or a trusted peer's address). */
  operator: boolean;
  /** The side an operator asks for, or null. */
  forcedSide: Side | null;
  /** Of the token that a policy of the gateway has verified; null where none has. */
  verifiedClaims: VerifiedClaims | null;
};

export type Decide = (facts: RequestFacts) => Decision;
