import { problems } from '@strangler/platform/http/problem.ts';
import { parseBody, parseParams, parseQuery } from '@strangler/platform/http/validate.ts';
import express, { type Request, type Response, type Router } from 'express';
import { z } from 'zod';
import type { Charge, ChargeBook } from './charge-book.ts';
import { type Controls, controlsSchema, defaultControls, meaningfulTokens, treatmentOf } from './controls.ts';
import type { WebhookEvent, WebhookSender } from './webhook-sender.ts';

export type ProviderParts = {
  book: ChargeBook;
  webhooks: WebhookSender;
  /** Where webhooks go at first; `null` sends none. */
  webhookUrl: string | null;
  random?: () => number;
};

const chargeRequest = z.strictObject({
  amount_cents: z.int().min(1).max(1_000_000_000),
  currency: z.string().regex(/^[A-Z]{3}$/, 'expected three capital letters'),
  reference: z.string().min(1).max(64),
  card_token: z.string().regex(/^tok_[a-z0-9_]{1,60}$/, 'expected tok_ and small letters, digits or _'),
});
const refundRequest = z.strictObject({ amount_cents: z.int().min(1).optional() });
const chargeId = z.object({ id: z.string().max(64) });
const chargesQuery = z.strictObject({ reference: z.string().min(1).max(64) });

/** The provider's routes: charges and refunds for merchants, `/control` for whoever wants to see them go wrong. */
export function providerRoutes({ book, webhooks, webhookUrl, random = Math.random }: ProviderParts): Router {
  let controls: Controls = defaultControls(webhookUrl);
  const router = express.Router();
  router.use(express.json({ limit: '16kb' }));

  const tell = (
    type: WebhookEvent['type'],
    charge: Charge,
    how: { webhooks: Controls['webhooks']; delayMs: number },
  ) => {
    if (how.webhooks === 'off' || controls.webhook_url === null) return;
    const event = webhooks.event(type, charge);
    webhooks.send(event, controls.webhook_url, how.delayMs);
    if (how.webhooks === 'twice') webhooks.send(event, controls.webhook_url, how.delayMs + 5);
  };

  router.post('/v1/charges', async (req, res) => {
    const key = idempotencyKey(req);
    const body = parseBody(chargeRequest, req);
    const use = book.chargeKeyUse(key, body);
    if (use.kind === 'different') throw keyUsedOtherwise();
    if (use.kind === 'same') return void answer(res, 200, use.result);

    const treatment = treatmentOf(body.card_token, controls, random);
    if (treatment.answer === 'lost') return;
    if (treatment.answer === 'refused') throw problems.unavailable(1);

    const charge = book.open(key, body, new Date());
    const decide = () => {
      book.decide(charge, treatment.failureCode);
      const type = charge.status === 'succeeded' ? 'charge.succeeded' : 'charge.failed';
      tell(type, charge, { webhooks: treatment.webhooks, delayMs: treatment.outOfOrder ? treatment.lateMs : 0 });
    };
    tell('charge.created', charge, {
      webhooks: treatment.webhooks,
      delayMs: treatment.outOfOrder ? 2 * treatment.lateMs : 0,
    });
    if (treatment.decide === 'now') decide();
    else setTimeout(decide, treatment.lateMs).unref();

    if (treatment.answer === 'never') return;
    if (treatment.delayMs > 0) await sleepUnlessGone(res, treatment.delayMs);
    if (treatment.answer === 'broken') throw new Error('answered 500 after taking the charge, as told');
    answer(res, 201, charge);
  });

  router.get('/v1/charges/:id', (req, res) => {
    answer(res, 200, mustFind(book, parseParams(chargeId, req).id));
  });

  router.get('/v1/charges', (req, res) => {
    answer(res, 200, { items: book.byReference(parseQuery(chargesQuery, req).reference) });
  });

  router.post('/v1/charges/:id/refunds', (req, res) => {
    const key = idempotencyKey(req);
    const charge = mustFind(book, parseParams(chargeId, req).id);
    const { amount_cents } = parseBody(refundRequest, req);
    const use = book.refundKeyUse(key, charge.id, amount_cents);
    if (use.kind === 'different') throw keyUsedOtherwise();
    if (use.kind === 'same') return void answer(res, 200, use.result);
    const outcome = book.refund(key, charge, amount_cents, new Date());
    switch (outcome.kind) {
      case 'not_refundable':
        throw problems.conflict(`Only a succeeded charge can be refunded; this one is ${outcome.status}.`);
      case 'too_much':
        throw problems.conflict(`Only ${outcome.leftCents} cents of this charge are left to refund.`);
      case 'refunded':
        tell('charge.refunded', charge, { webhooks: controls.webhooks, delayMs: 0 });
        return void answer(res, 201, outcome.refund);
    }
  });

  router.get('/control', (_req, res) => {
    answer(res, 200, {
      controls,
      tokens: meaningfulTokens,
      charges: book.size,
      webhooks: { waiting: webhooks.waiting, dropped: webhooks.dropped },
    });
  });

  router.put('/control', (req, res) => {
    const wanted = parseBody(controlsSchema, req);
    controls = { ...wanted, webhook_url: wanted.webhook_url === undefined ? controls.webhook_url : wanted.webhook_url };
    answer(res, 200, { controls });
  });

  router.get('/control/charges', (_req, res) => {
    answer(res, 200, { items: book.all() });
  });

  router.get('/control/webhooks', (_req, res) => {
    answer(res, 200, { items: webhooks.deliveries() });
  });

  return router;
}

function answer(res: Response, status: number, body: object): void {
  res.status(status).json(body);
}

function mustFind(book: ChargeBook, id: string): Charge {
  const charge = book.find(id);
  if (!charge) throw problems.notFound(`There is no charge ${id}.`);
  return charge;
}

function keyUsedOtherwise() {
  return problems.conflict('This Idempotency-Key was used for another request. Take a new key for a new request.');
}

function idempotencyKey(req: Request): string {
  const key = req.get('idempotency-key') ?? '';
  if (!/^[\x21-\x7e]{1,200}$/.test(key)) {
    throw problems.badRequest('Expected an Idempotency-Key header of 1 to 200 visible ASCII characters.');
  }
  return key;
}

/** Waits `ms`, or until the caller has hung up. */
function sleepUnlessGone(res: Response, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    res.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
