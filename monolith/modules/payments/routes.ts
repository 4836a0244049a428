import { idParams } from '@strangler/platform/http/id.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { parseParams, parsePart } from '@strangler/platform/http/validate.ts';
import express, { Router } from 'express';
import { type Auth, identityOf } from '../../auth/auth.ts';
import type { Clock } from '../../clock.ts';
import type { Models } from '../../models/index.ts';
import { paymentJson } from './representation.ts';
import { checkSignature, signatureWindowSeconds } from './webhook-signature.ts';
import { type WebhookReceiver, webhookSchema } from './webhooks.ts';

export function paymentRoutes(parts: {
  auth: Auth;
  models: Models;
  clock: Clock;
  webhooks: WebhookReceiver;
  webhookSecret: string;
  /** Throws where the payments are nowhere in this database any more. */
  refuseMoved(): void;
}): Router {
  const { auth, models, clock, webhooks, webhookSecret, refuseMoved } = parts;
  const router = Router();

  router.get('/api/payments/:id', auth.requireAccount(), async (req, res) => {
    const { id } = parseParams(idParams, req);
    const { accountId, role } = identityOf(req);
    refuseMoved();
    const payment = await models.Payment.findOne({
      where: { id, ...(role === 'admin' ? {} : { account_id: accountId }) },
    });
    if (!payment) throw problems.notFound(`There is no payment ${id}.`);
    res.json(paymentJson(payment));
  });

  // The signature is over the bytes as they came, so they are not parsed before it is checked.
  router.post('/api/payments/webhooks', express.raw({ type: () => true, limit: '64kb' }), async (req, res) => {
    const body = Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0);
    const check = checkSignature(webhookSecret, req.get('provider-signature'), body, clock.now());
    switch (check.kind) {
      case 'malformed':
        throw problems.badRequest(
          'Expected a Provider-Signature header of the form t=<Unix seconds>,v1=<64 hex digits>.',
        );
      case 'forged':
        throw signatureProblem('The signature does not fit the body.');
      case 'outside_window':
        throw signatureProblem(
          `The signature is ${check.ageSeconds} seconds old; at most ${signatureWindowSeconds} are accepted.`,
        );
      case 'genuine': {
        const outcome = await webhooks.take(parsePart('body', webhookSchema, jsonOf(body)));
        res.json({ outcome });
      }
    }
  });

  return router;
}

function signatureProblem(detail: string): Problem {
  return new Problem({ status: 401, title: 'Webhook signature refused', detail });
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw problems.badRequest('The body is not valid JSON.');
  }
}
