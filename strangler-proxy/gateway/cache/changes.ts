import { everythingScope, type Scope, scopeOf } from '@strangler/platform/cache/scope.ts';
import { uriKey } from './cache-key.ts';

/** What answers may stand on: a table or an aggregate of a slice, `<slice>.<table or aggregate>`, as routing keys begin. */
export type ChangeName = string;

export const changeNamePattern = /^[a-z][a-z0-9-]{0,63}\.[^\s.*#]{1,190}$/;

const changeScope = (name: ChangeName): Scope => scopeOf(`t:${name}`);
export const uriScope = (host: string, target: string): Scope => scopeOf(`u:${uriKey(host, target)}`);

/** What an answer stands on: all, its URI, and the tables and aggregates that its route names. */
export const scopesOfAnswer = (host: string, target: string, changes: readonly ChangeName[]): Scope[] => [
  everythingScope,
  uriScope(host, target),
  ...changes.map(changeScope),
];

/**
 * What a message makes untrue, by its routing key: `<slice>.<table or aggregate>.<op>` of what was written, and
 * `<slice>.<table>` of what was applied to the other side. Null where no route names it.
 */
export const scopeOfMessage = (routingKey: string, named: ReadonlySet<ChangeName>): Scope | null => {
  const name = routingKey.split('.', 2).join('.');
  return named.has(name) ? changeScope(name) : null;
};
