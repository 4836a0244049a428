import type { RequestHandler } from 'express';
import { effectsHeader, encodeEffects, type ToldEvent, tellEffectsHeader } from '../contracts/dry-run.ts';
import { hearEvents } from '../outbox/told-events.ts';

/**
 * Express middleware before the routes of the monolith: a request that asks for it (`x-strangler-tell-effects: 1`) is told in
 * `x-strangler-effects` which domain events it has left in the outbox by the time its answer begins. More than fits into the
 * header is not told at all. Costs nothing where it is not asked for. For callers behind a proxy that drops `x-strangler-*`
 * of its own clients.
 */
export function tellEffects(): RequestHandler {
  return (request, response, next) => {
    if (request.headers[tellEffectsHeader] !== '1') {
      next();
      return;
    }
    hearEvents((events: readonly ToldEvent[]) => {
      const { writeHead } = response;
      // Node calls it for every answer, whoever sends it: the last moment at which a header can be set.
      response.writeHead = ((...args: Parameters<typeof writeHead>) => {
        response.writeHead = writeHead;
        const value = encodeEffects({ events: [...events] });
        if (value !== undefined && !response.headersSent) response.setHeader(effectsHeader, value);
        return writeHead.apply(response, args);
      }) as typeof writeHead;
      next();
    });
  };
}
