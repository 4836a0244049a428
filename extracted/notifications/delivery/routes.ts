import { type Auth, identityOf } from '@strangler/platform/auth/auth.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { parseBody } from '@strangler/platform/http/validate.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { RequestHandler, Router } from 'express';
import { z } from 'zod';
import type { Dispatch } from '../exchanges/dispatch.ts';
import { type Position, sides } from './deliverer.ts';
import type { DeliveryStatus, Handovers } from './handovers.ts';

const position = z.strictObject({
  epoch: z.int().min(0).max(4_294_967_295),
  /** Text, as in a message: it may be beyond 2^53. */
  id: z.string().regex(/^\d{1,19}$/, 'must be the decimal text of an outbox id'),
});
const handover = z.strictObject({
  expected_seq: z.int().min(0),
  side: z.enum(sides),
  from: position,
  reason: z.string().trim().min(1).max(1_000),
});

/** For operators: who tells customers of unmarked events, and from which position on. */
export function addDeliveryRoutes(
  routes: Router,
  {
    auth,
    operatorOnly,
    handovers,
    dispatch,
    wake,
    log,
  }: {
    auth: Auth;
    operatorOnly: RequestHandler;
    handovers: Handovers;
    dispatch: Dispatch['dispatch'];
    wake(accountId: number): void;
    log: Log;
  },
): void {
  const admin = auth.requireRole('admin');

  routes.get('/internal/delivery', operatorOnly, admin, async (_request, response) => {
    response.json(statusJson(await handovers.status()));
  });

  routes.post('/internal/delivery/handovers', operatorOnly, admin, jsonBody(), async (request, response) => {
    const { expected_seq: expectedSeq, side, from, reason } = parseBody(handover, request);
    const by = `account ${identityOf(request).accountId}`;
    const at = { epoch: from.epoch, id: BigInt(from.id) };
    const decision = await handovers.hand({ expectedSeq, side, from: at, by, reason });
    if (decision.outcome === 'refused') throw problems.conflict(`The handover was refused: ${decision.reason}.`);
    if (decision.outcome === 'conflict') {
      throw problems.conflict(`Handover ${decision.lastSeq} is the last one, not ${expectedSeq}; look again.`);
    }
    const { accountIds, jobIds } = decision.nowDelivered;
    log.warn(
      { handover: statusText(decision.handover), by, reason, nowDelivered: jobIds.length },
      'delivery was handed over',
    );
    for (const accountId of accountIds) wake(accountId);
    // What cannot be published now is put in line by the sweeper.
    await dispatch(jobIds).catch((error: unknown) => log.warn({ err: error }, 'jobs were not dispatched yet'));
    response.status(201).json(statusJson(await handovers.status()));
  });
}

function statusJson({ mode, handovers, highestHandled, highestDelivered }: DeliveryStatus) {
  return {
    mode,
    handovers: handovers.map(({ seq, side, from }) => ({ seq, side, from: positionJson(from) })),
    highest_handled: positionJson(highestHandled),
    highest_delivered: positionJson(highestDelivered),
  };
}

function positionJson(at: Position | undefined) {
  return at === undefined ? null : { epoch: at.epoch, id: String(at.id) };
}

function statusText({ seq, side, from }: { seq: number; side: string; from: Position }): string {
  return `${seq}: ${side} from ${from.epoch}/${from.id}`;
}
