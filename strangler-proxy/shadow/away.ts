import type { RefusalReason } from '../upstream/upstream.ts';
import type { AskSides } from './ask-sides.ts';

/** For so long nobody is sampled for a service that could not be asked; then one request tries again. */
const awayMs = 100;

/** Refusals that the next request would meet too. */
const lasting: readonly RefusalReason[] = ['no-instances', 'all-ejected', 'circuit-open'];

/** Which services could not be asked a moment ago, and why: their circuit is open, or they have no instance. */
export type Away = {
  get(service: string): RefusalReason | undefined;
};

/** Remembers what is refused of what these sides are asked. */
export const createAway = (sides: AskSides, nowMs: () => number): { away: Away; sides: AskSides } => {
  const refused = new Map<string, { why: RefusalReason; untilMs: number }>();
  const remember = (service: string, why: RefusalReason): void => {
    if (lasting.includes(why)) refused.set(service, { why, untilMs: nowMs() + awayMs });
  };
  return {
    away: {
      get(service) {
        const found = refused.get(service);
        if (found === undefined) return undefined;
        if (nowMs() < found.untilMs) return found.why;
        refused.delete(service);
        return undefined;
      },
    },
    sides: {
      async ask(side, service, request) {
        const asked = await sides.ask(side, service, request);
        if (side === 'service' && asked.kind === 'not-asked') remember(service, asked.why);
        return asked;
      },
      startDryRun(service, request) {
        const ask = sides.startDryRun(service, request);
        if ('kind' in ask) remember(service, ask.why);
        return ask;
      },
    },
  };
};
