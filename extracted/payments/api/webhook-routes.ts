import { createHash } from 'node:crypto';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { parsePart } from '@strangler/platform/http/validate.ts';
import express, { type Router } from 'express';
import type { Clock } from '../clock.ts';
import { checkSignature, signatureWindowSeconds } from '../webhooks/signature.ts';
import { type Webhook, type WebhookInbox, webhookSchema } from '../webhooks/webhook-inbox.ts';

/** For the payment provider. Not versioned: it is the provider's contract, not ours. */
export function addWebhookRoutes(
  routes: Router,
  { inbox, clock, secrets }: { inbox: WebhookInbox; clock: Clock; secrets: readonly string[] },
): void {
  // The signature is over the bytes as they came, so they are not parsed before it is checked.
  routes.post('/api/payments/webhooks', express.raw({ type: () => true, limit: '64kb' }), async (req, res) => {
    const body = Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0);
    const check = checkSignature(secrets, req.get('provider-signature'), body, clock.now());
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
      case 'genuine':
        res.json({ outcome: await inbox.take(await readWebhook(body, inbox)) });
    }
  });
}

/** The provider is told that it is not acceptable, as ever; and a person can see it among the dead letters. */
async function readWebhook(body: Buffer, inbox: Pick<WebhookInbox, 'refuse'>): Promise<Webhook> {
  try {
    return parsePart('body', webhookSchema, jsonOf(body));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const faults = error.errors?.map(({ path, message }) => `${path}: ${message}`).join('; ');
    const eventId = `bad_${createHash('sha256').update(body).digest('hex').slice(0, 48)}`;
    await inbox.refuse(eventId, faults ?? error.detail ?? error.title, body.toString('utf8'));
    throw error;
  }
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
