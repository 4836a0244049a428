import { type Auth, identityOf } from '@strangler/platform/auth/auth.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { parseBody, parseParams } from '@strangler/platform/http/validate.ts';
import type { Request, Response, Router } from 'express';
import { Counter, type Registry } from 'prom-client';
import { z } from 'zod';
import { type Answer, type AnswerOnce, LeaseLost } from '../checkout/answer-once.ts';
import type { CheckedOut, Checkout } from '../checkout/checkout.ts';
import type { Clock } from '../clock.ts';
import type { Accounts } from '../neighbours/accounts.ts';
import { isDecided, type SagaState, type Timings } from '../saga/saga-state.ts';
import type { Saga, SagaStore } from '../saga/saga-store.ts';
import { type OrderReader, orderDetailJson } from './order-reader.ts';

const checkoutBody = z.strictObject({
  card_token: z.string().regex(/^tok_[a-z0-9_]{1,60}$/, 'expected a card token: tok_ and small letters, digits or _'),
  expected_total_cents: z.int().min(0).optional(),
});
const sagaParams = z.object({ id: z.string().regex(/^[a-z0-9-]{1,40}$/, 'must be the id of a checkout') });

export type CheckoutRouteParts = {
  auth: Auth;
  metrics: Registry;
  checkout: Checkout;
  answerOnce: AnswerOnce;
  accounts: Accounts;
  store: SagaStore;
  reader: OrderReader;
  clock: Clock;
  timings: Timings;
  /** How long a request waits for its saga. */
  waitMs: number;
};

const json = 'application/json; charset=utf-8';
const problemJson = 'application/problem+json; charset=utf-8';

/** The shop's contract to the letter, and beside it what a client may prefer: not to wait (RFC 7240). */
export function addCheckoutRoutes(routes: Router, parts: CheckoutRouteParts): void {
  const { auth, checkout, answerOnce, accounts, store, reader, clock, timings } = parts;
  const answers = new Counter({
    name: 'orders_checkouts_total',
    help: 'Answered checkouts by status, and whether the answer was kept from before',
    labelNames: ['status', 'replayed'],
    registers: [parts.metrics],
  });

  routes.post('/api/checkout', auth.requireAccount(), jsonBody(), async (req, res) => {
    const { accountId } = identityOf(req);
    const key = idempotencyKey(req);
    const body = parseBody(checkoutBody, req);
    const isAsync = prefersAsync(req);
    if (isAsync) res.set('preference-applied', 'respond-async');
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
      const authorization = req.get('authorization') ?? '';
      await accounts.know(accountId, authorization);
      const request = {
        ...{ accountId, authorization, cardToken: body.card_token, expectedTotalCents: body.expected_total_cents },
        waitMs: isAsync ? 0 : parts.waitMs,
      };
      const answer = await checkout.run(run, request).then((checkedOut) => answerOf(checkedOut, reader), refusalOf);
      await answerOnce.keep(run, answer);
      answers.inc({ status: answer.status, replayed: 'no' });
      send(res, answer);
    } catch (error) {
      // Where even that fails, the lease ends by itself.
      await answerOnce.giveUp(run).catch(() => {});
      throw error instanceof LeaseLost ? stillRunning(1) : error;
    }
  });

  routes.get('/api/checkouts/:id', auth.requireAccount(), async (req, res) => {
    const { id } = parseParams(sagaParams, req);
    const { accountId, role } = identityOf(req);
    const saga = await store.read({ id });
    if (saga === undefined || (role !== 'admin' && saga.accountId !== accountId)) {
      throw problems.notFound(`There is no checkout ${id}.`);
    }
    const isOver = isDecided(saga.state, clock.now().getTime(), timings);
    if (!isOver) res.set('retry-after', '1');
    res.set('cache-control', 'no-store').json(await statusOf(saga, isOver, reader));
  });
}

/** A checkout as its status resource shows it. */
async function statusOf(saga: Saga, isOver: boolean, reader: OrderReader) {
  const { id, orderId } = saga;
  if (!isOver) return { id, status: 'running', order_id: orderId, answer: null };
  const { status, body } = await answerOf({ kind: 'decided', saga }, reader).catch(refusalOf);
  return { id, status: 'decided', order_id: orderId, answer: { status, body: JSON.parse(body) } };
}

async function answerOf({ kind, saga }: CheckedOut, reader: OrderReader): Promise<Answer> {
  const { id, orderId, state } = saga;
  if (kind === 'running') {
    const body = JSON.stringify({ id, status: 'running', order_id: orderId, answer: null });
    return { status: 202, type: json, location: `/api/checkouts/${id}`, body };
  }
  if (orderId === null) throw notOrdered(state);
  const order = await reader.find(orderId, undefined);
  if (!order) throw new Error(`order ${orderId} was just placed and cannot be read`);
  const shown = orderDetailJson(order);
  const told = { order: shown, payment: shown.payment };
  if (state.why === 'out_of_stock') {
    const detail = `Order ${orderId} is cancelled and its money goes back: what it had reserved was sold to others.`;
    return problemAnswer(new Problem({ status: 409, title: 'Not enough stock', detail, extensions: told }));
  }
  if (state.goal === 'undo' && state.why !== 'customer' && state.why !== 'admin') {
    const detail = `No money was taken (${state.failureCode ?? state.why}); order ${orderId} is cancelled.`;
    return problemAnswer(new Problem({ status: 402, title: 'Payment declined', detail, extensions: told }));
  }
  return { status: 201, type: json, location: `/api/orders/${orderId}`, body: JSON.stringify(told) };
}

/** Why there is no order, and nothing has changed. */
function notOrdered({ why, shortages }: SagaState): Problem {
  if (why === 'gave_up') {
    return problems.unavailable(1, 'Somebody who is needed for it did not answer; nothing was ordered. Send it again.');
  }
  if (why === 'cart_changed') {
    return new Problem({ status: 409, title: 'Cart is empty', detail: 'There is nothing in the cart to check out.' });
  }
  return new Problem({
    status: 409,
    title: 'Not enough stock',
    detail: shortages
      .map(({ productId, wanted, left }) => `Product ${productId}: ${wanted} wanted, ${left} left.`)
      .join(' '),
    extensions: {
      shortages: shortages.map(({ productId, wanted, left }) => ({ product_id: productId, wanted, available: left })),
    },
  });
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

function prefersAsync(req: Request): boolean {
  const preferences = (req.get('prefer') ?? '').split(',').map((one) => one.split(';')[0]?.trim().toLowerCase());
  return preferences.includes('respond-async');
}

/** A refusal is an answer to be kept like any other; any other error is none. */
function refusalOf(error: unknown): Answer {
  if (error instanceof Problem && error.status < 500) return problemAnswer(error);
  throw error;
}

function problemAnswer(problem: Problem): Answer {
  return { status: problem.status, type: problemJson, location: null, body: JSON.stringify(problem) };
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
