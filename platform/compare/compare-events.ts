import type { TellableEvent } from './answer.ts';
import { compareJson, type JsonWalk } from './compare-json.ts';
import type { IdentityMap } from './identities.ts';
import type { CompareRules, DifferencePlace } from './rules.ts';

export type EventWalk = {
  rules: CompareRules;
  identities: IdentityMap | null;
  triesLeft: JsonWalk['triesLeft'];
  tell(
    place: DifferencePlace,
    kind: 'event' | 'value' | 'type' | 'missing' | 'extra' | 'order' | 'length',
    monolith: unknown,
    service: unknown,
  ): boolean;
};

/**
 * Compares what both sides told others. Events are paired by type and key in the order they were told in, which is all the
 * order that a consumer may rely on; what has no partner is a difference of kind `event`.
 */
export const compareEvents = (
  monolith: readonly TellableEvent[],
  service: readonly TellableEvent[],
  { rules, identities, triesLeft, tell }: EventWalk,
): void => {
  const left = [...service];
  for (const event of monolith) {
    const match = left.findIndex(
      ({ type, key }) => type === event.type && (key === event.key || identities?.paired(event.key, key) === true),
    );
    if (match === -1) {
      tell({ in: 'event', type: event.type }, 'event', event, undefined);
      continue;
    }
    const [partner] = left.splice(match, 1);
    const scope = { in: 'event', type: event.type } as const;
    const walk: JsonWalk = {
      rules,
      scope,
      identities,
      quiet: false,
      triesLeft,
      tell: (place, kind, ours, theirs) => tell({ in: 'json', scope, place }, kind, ours, theirs),
    };
    compareJson(walk, [], event.payload, partner?.payload);
  }
  for (const event of left) tell({ in: 'event', type: event.type }, 'event', undefined, event);
};
