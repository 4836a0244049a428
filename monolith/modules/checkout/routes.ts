import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { parseBody } from '@strangler/platform/http/validate.ts';
import { type Request, type Response, Router } from 'express';
import { Counter, type Registry } from 'prom-client';
import { z } from 'zod';
import { type Auth, identityOf } from '../../auth/auth.ts';
import { type OrderReader, orderDetailJson } from '../orders/order-reader.ts';
import { type Answer, type AnswerOnce, LeaseLost } from './answer-once.ts';
import type { CheckedOut, Checkout } from './checkout.ts';

const checkoutBody = z.strictObject({
  card_token: z.string().regex(/^tok_[a-z0-9_]{1,60}$/, 'expected a card token: tok_ and small letters, digits or _'),
  expected_total_cents: z.int().min(0).optional(),
});

export function checkoutRoutes(parts: {
  auth: Auth;
  metrics: Registry;
  checkout: Checkout;
  answerOnce: AnswerOnce;
  reader: OrderReader;
}): Router {
  const { auth, checkout, answerOnce, reader } = parts;
  const router = Router();
  const answers = new Counter({
    name: 'shop_checkouts_total',
    help: 'Answered checkouts by status, and whether the answer was kept from before',
    labelNames: ['status', 'replayed'],
    registers: [parts.metrics],
  });

  router.post('/api/checkout', auth.requireAccount(), jsonBody(), async (req, res) => {
    const { accountId } = identityOf(req);
    const key = idempotencyKey(req);
    const body = parseBody(checkoutBody, req);
    const claim = await answerOnce.claim({ accountId, key, body });
    switch (claim.kind) {
      case 'answered':
        answers.inc({ status: claim.answer.status, replayed: 'yes' });
        res.set('idempotency-replayed', 'true');
        return send(res, claim.answer);
      case 'other_request':
        throw problems.unprocessable(
          'This Idempotency-Key was used with another body. Take a new key for a new checkout.',
        );
      case 'running':
        throw stillRunning(claim.retryAfterSeconds);
    }
    const { run } = claim;
    try {
      const request = { accountId, cardToken: body.card_token, expectedTotalCents: body.expected_total_cents };
      const answer = await checkout.run(run, request).then(
        (checkedOut) => answerOf(checkedOut, reader),
        (error: unknown) => refusalOf(error),
      );
      await answerOnce.keep(run, answer);
      answers.inc({ status: answer.status, replayed: 'no' });
      send(res, answer);
    } catch (error) {
      // Where even that fails, the lease ends by itself.
      await answerOnce.giveUp(run).catch(() => {});
      throw error instanceof LeaseLost ? stillRunning(1) : error;
    }
  });

  return router;
}

function idempotencyKey(req: Request): string {
  const key = req.get('idempotency-key');
  if (key === undefined || !/^[\x21-\x7e]{1,200}$/.test(key)) {
    throw problems.badRequest(
      `Expected an Idempotency-Key header of 1 to 200 visible ASCII characters, ${key === undefined ? 'found none' : 'found something else'}.`,
    );
  }
  return key;
}

async function answerOf({ orderId, payment }: CheckedOut, reader: OrderReader): Promise<Answer> {
  const order = await reader.find(orderId, undefined);
  if (!order) throw new Error(`order ${orderId} was just placed and cannot be read`);
  const shown = orderDetailJson(order);
  if (payment === 'failed') {
    return problemAnswer(
      new Problem({
        status: 402,
        title: 'Payment declined',
        detail: `No money was taken (${shown.payment?.failure_code}); order ${orderId} is cancelled.`,
        extensions: { order: shown, payment: shown.payment },
      }),
    );
  }
  return {
    status: 201,
    type: 'application/json; charset=utf-8',
    location: `/api/orders/${orderId}`,
    body: JSON.stringify({ order: shown, payment: shown.payment }),
  };
}

/** A refusal is an answer to be kept like any other; any other error is none. */
function refusalOf(error: unknown): Answer {
  if (error instanceof Problem && error.status < 500) return problemAnswer(error);
  throw error;
}

function problemAnswer(problem: Problem): Answer {
  return {
    status: problem.status,
    type: 'application/problem+json; charset=utf-8',
    location: null,
    body: JSON.stringify(problem),
  };
}

function stillRunning(retryAfterSeconds: number): Problem {
  return new Problem({
    status: 409,
    title: 'Checkout still running',
    detail: 'The first request with this Idempotency-Key has not been answered yet.',
    headers: { 'retry-after': String(retryAfterSeconds) },
  });
}

function send(res: Response, answer: Answer): void {
  if (answer.location !== null) res.set('location', answer.location);
  res.status(answer.status).set('content-type', answer.type).end(answer.body);
}
