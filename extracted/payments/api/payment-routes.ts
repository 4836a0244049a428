import { type Auth, identityOf } from '@strangler/platform/auth/auth.ts';
import { idParams } from '@strangler/platform/http/id.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { parseBody, parseParams, parsePart } from '@strangler/platform/http/validate.ts';
import type { Request, Response, Router } from 'express';
import type { Pool } from 'mysql2/promise';
import type { Answer, AnswerOnce } from '../idempotency/answer-once.ts';
import type { Charging } from '../payment/charging.ts';
import { historyOf, type Payment, readPayment, type StoredRefund } from '../payment/ledger.ts';
import { isUnknown } from '../payment/payment-state.ts';
import type { Refunding } from '../payment/refunding.ts';
import { answerType, sendJson, speak, type V1Ends, versionOf } from './speak.ts';
import { v1 } from './v1.ts';
import { v2 } from './v2.ts';
import { type ApiVersion, bodyTypes } from './version.ts';

const speech = { 1: v1, 2: v2 } as const;

export type PaymentRouteParts = {
  auth: Auth;
  pool: Pool;
  charging: Charging;
  refunding: Refunding;
  answerOnce: AnswerOnce;
  v1Ends: V1Ends;
};

/** Both versions of the API: under the shop's own path, and under the second one's. */
export function addPaymentRoutes(routes: Router, parts: PaymentRouteParts): void {
  addUnder(routes, '/api/payments', undefined, parts);
  addUnder(routes, '/api/v2/payments', 2, parts);
}

function addUnder(routes: Router, path: string, version: ApiVersion | undefined, parts: PaymentRouteParts): void {
  const { auth, pool, charging, refunding, answerOnce, v1Ends } = parts;
  const spoken = speak(version, v1Ends);
  const admin = auth.requireRole('admin');

  routes.get(`${path}/:id`, spoken, auth.requireAccount(), async (req, res) => {
    const { id } = parseParams(idParams, req);
    const { accountId, role } = identityOf(req);
    const payment = await readPayment(pool, { id });
    if (!payment || (role !== 'admin' && payment.accountId !== accountId)) {
      throw problems.notFound(`There is no payment ${id}.`);
    }
    sendJson(req, res, 200, await shown(req, payment));
  });

  routes.post(path, spoken, admin, jsonBody({ types: bodyTypes }), async (req, res) => {
    const key = idempotencyKey(req);
    const request = parseBody(speech[versionOf(req)].chargeBody, req);
    await once(req, res, key, request, async () => chargeAnswer(req, await charging.charge(request)));
  });

  routes.post(`${path}/:id/refunds`, spoken, admin, jsonBody({ types: bodyTypes }), async (req, res) => {
    const key = idempotencyKey(req);
    const { id: paymentId } = parseParams(idParams, req);
    const request = parsePart('body', speech[versionOf(req)].refundBody, req.body ?? {});
    await once(req, res, key, request, async () => {
      const caller = callerOf(req);
      return refundAnswer(req, await refunding.refund({ paymentId, ...request, caller, key }));
    });
  });

  const shown = async (req: Request, payment: Payment) =>
    speech[versionOf(req)].payment(payment, versionOf(req) === 1 ? [] : await historyOf(pool, payment));

  const once = async (req: Request, res: Response, key: string, body: object, work: () => Promise<Answer>) => {
    const operation = `${req.method} ${req.originalUrl.split('?', 1)[0]} v${versionOf(req)}`;
    const { answer, replayed } = await answerOnce.answer({ caller: callerOf(req), key, operation, body }, work);
    if (replayed) res.set('idempotency-replayed', 'true');
    if (answer.location !== null) res.set('location', answer.location);
    res.status(answer.status).set('content-type', answer.type).end(answer.body);
  };

  const chargeAnswer = async (req: Request, payment: Payment): Promise<Answer> => {
    const body = await shown(req, payment);
    const { status, failureCode } = payment;
    if (status === 'failed') {
      throw new Problem({
        status: 402,
        title: 'Payment declined',
        detail: `No money was taken (${failureCode}).`,
        extensions: { payment: body },
      });
    }
    if (status === 'refunding' || status === 'refunded') {
      throw new Problem({
        status: 409,
        title: 'Order was given up',
        detail: `The payment of order ${payment.orderId} is ${status}.`,
        extensions: { payment: body },
      });
    }
    return made(req, isUnknown(status) ? 202 : 201, payment, body);
  };

  const refundAnswer = async (
    req: Request,
    { payment, refund }: { payment: Payment; refund: StoredRefund },
  ): Promise<Answer> => {
    const body = speech[versionOf(req)].refund(refund, payment);
    if (refund.status === 'refused') {
      throw new Problem({
        status: 409,
        title: 'Refund refused',
        detail: 'The payment provider does not give this money back.',
        extensions: { refund: body },
      });
    }
    return made(req, refund.status === 'done' ? 201 : 202, payment, body);
  };
}

/** Who asks: keys of one caller mean nothing to another. */
function callerOf(req: Request): string {
  return `account:${identityOf(req).accountId}`;
}

function made(req: Request, status: 201 | 202, payment: Payment, body: object): Answer {
  const location = `${speech[versionOf(req)].path}/${payment.id}`;
  return { status, type: answerType(req), location, body: JSON.stringify(body) };
}

function idempotencyKey(req: Request): string {
  const key = req.get('idempotency-key');
  if (key !== undefined && /^[\x21-\x7e]{1,200}$/.test(key)) return key;
  const found = key === undefined ? 'none' : 'something else';
  throw problems.badRequest(`Expected an Idempotency-Key header of 1 to 200 visible ASCII characters, found ${found}.`);
}
