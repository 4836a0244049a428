/** The rule by which a request was refused before anything was decided about it. */
export type RefusalRule =
  | 'framing'
  | 'http-version'
  | 'target'
  | 'host'
  | 'method'
  | 'expectation'
  | 'header-size'
  | 'header-count'
  | 'target-size'
  | 'body-size'
  | 'in-flight'
  | 'draining';

/** Whether the connection can be read on after the refusal, or where the next request begins is in doubt. */
export type ConnectionAfter = 'keep' | 'close';

/** A request that goes no further, and the answer that its sender gets. */
export type Refusal = {
  kind: 'refused';
  rule: RefusalRule;
  status: number;
  title: string;
  /** What was expected and what was found; never repeats what the client sent. */
  detail: string;
  connection: ConnectionAfter;
  headers: Readonly<Record<string, string>>;
};

const noHeaders: Readonly<Record<string, string>> = {};

/** A refusal after which the connection is closed: its bytes can no longer be trusted to be where they seem. */
export function refuseAndClose(rule: RefusalRule, status: number, title: string, detail: string): Refusal {
  return { kind: 'refused', rule, status, title, detail, connection: 'close', headers: noHeaders };
}

/** A refusal of a request whose end is known: the connection may carry the next one. */
export function refuse(
  rule: RefusalRule,
  status: number,
  title: string,
  detail: string,
  headers: Readonly<Record<string, string>> = noHeaders,
): Refusal {
  return { kind: 'refused', rule, status, title, detail, connection: 'keep', headers };
}
