import { fileURLToPath } from 'node:url';
import type { Metadata } from '@grpc/grpc-js';
import type { AccessTokens } from '@strangler/platform/auth/access-token.ts';
import { GrpcError } from '@strangler/platform/grpc/errors.ts';
import { type GrpcCallContext, type RunningGrpcServer, startGrpcServer } from '@strangler/platform/grpc/server.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { parsePart } from '@strangler/platform/http/validate.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import type { ServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';
import { cardToken, cents, currency, id } from '../api/fields.ts';
import { callers } from '../callers.ts';
import type { Answer, AnswerOnce } from '../idempotency/answer-once.ts';
import type { Charging } from '../payment/charging.ts';
import { readPayment, readPaymentsOf } from '../payment/ledger.ts';
import type { Refunding } from '../payment/refunding.ts';
import { paymentMessage } from './payment-message.ts';
import { asGrpcError, staleEpoch, statusOf } from './status.ts';

export const paymentsProtoPath = fileURLToPath(new URL('../proto/payments/v1/payments.proto', import.meta.url));
export const paymentsPackageName = 'payments.v1';

const key = z.string().regex(/^[\x21-\x7e]{1,200}$/, 'must be 1 to 200 visible ASCII characters');
const chargeRequest = z.object({
  order_id: id,
  account_id: id,
  amount_cents: cents,
  currency,
  card_token: cardToken,
  idempotency_key: key,
});
const getRequest = z.object({ payment_id: id.optional(), order_id: id.optional() });
const listRequest = z.object({ order_ids: z.array(id).min(1).max(200) });
const refundRequest = z.object({ payment_id: id, amount_cents: cents.optional(), idempotency_key: key });
const cancelRequest = z.object({ order_id: id });

export type PaymentsGrpcParts = {
  host: string;
  port: number;
  pool: Pool;
  accessTokens: AccessTokens;
  owner: OwnerFollower | undefined;
  charging: Charging;
  refunding: Refunding;
  answerOnce: AnswerOnce;
  trust: Pick<ServiceTrust, 'grpcServer'>;
  log: Log;
};

type Call = Pick<GrpcCallContext, 'metadata' | 'caller'>;

/** Serves payments.v1.Payments: what orders ask of the payments. */
export function startPaymentsGrpc(parts: PaymentsGrpcParts): Promise<RunningGrpcServer> {
  const { host, port, pool, accessTokens, owner, charging, refunding, answerOnce, trust, log } = parts;

  const once = async (request: Parameters<AnswerOnce['answer']>[0], work: () => Promise<object>): Promise<object> => {
    const { answer, replayed } = await answerOnce.answer(request, async () => kept(await work()));
    const told = JSON.parse(answer.body);
    if (answer.status >= 400) throw statusOf(told);
    return { ...told, replayed };
  };

  /** The caller's name, for its keys: a service that was asked who it is, else an administrator. */
  const admit = async ({ metadata, caller }: Call): Promise<string> => {
    if (caller !== undefined) return `service:${caller}`;
    const token = /^Bearer +(\S+)$/i.exec(metadata.get('authorization')[0]?.toString() ?? '')?.[1];
    if (token === undefined) throw new GrpcError('UNAUTHENTICATED', 'authorization: expected Bearer <access token>');
    const identity = await accessTokens.verify(token);
    if (!identity) throw new GrpcError('UNAUTHENTICATED', 'the access token is not valid or has expired');
    if (identity.role !== 'admin')
      throw new GrpcError('PERMISSION_DENIED', 'this needs an account with the role admin');
    return `account:${identity.accountId}`;
  };

  const refuseStale = (metadata: Metadata): void => {
    const sent = sentEpoch(metadata);
    const known = owner?.now()?.epoch;
    if (sent !== undefined && known !== undefined && sent < known) throw staleEpoch(sent, known);
  };

  const write = (call: Call): Promise<string> => {
    refuseStale(call.metadata);
    return admit(call);
  };

  const charge = async (message: object, call: Call) => {
    const caller = await write(call);
    const { idempotency_key, ...body } = parsePart('body', chargeRequest, message);
    return once({ caller, key: idempotency_key, operation: 'grpc Charge', body }, async () => ({
      payment: paymentMessage(
        await charging.charge({
          orderId: body.order_id,
          accountId: body.account_id,
          amountCents: body.amount_cents,
          currency: body.currency,
          cardToken: body.card_token,
        }),
      ),
    }));
  };

  const refund = async (message: object, call: Call) => {
    const caller = await write(call);
    const { idempotency_key, ...body } = parsePart('body', refundRequest, message);
    return once({ caller, key: idempotency_key, operation: 'grpc Refund', body }, async () => {
      const request = { paymentId: body.payment_id, amountCents: body.amount_cents, caller, key: idempotency_key };
      const { payment, refund: made } = await refunding.refund(request);
      const { id: refund_id, status, amountCents: amount_cents } = made;
      return { refund_id, status, amount_cents, payment: paymentMessage(payment) };
    });
  };

  const get = async (message: object, call: Call) => {
    await admit(call);
    const { payment_id, order_id } = parsePart('body', getRequest, message);
    if (payment_id === undefined && order_id === undefined)
      throw problems.badRequest('payment_id or order_id: expected one');
    const by = payment_id === undefined ? { orderId: order_id ?? 0 } : { id: payment_id };
    const payment = await readPayment(pool, by);
    if (!payment) throw problems.notFound('There is no such payment.');
    return paymentMessage(payment);
  };

  const list = async (message: object, call: Call) => {
    await admit(call);
    const { order_ids } = parsePart('body', listRequest, message);
    return { payments: (await readPaymentsOf(pool, order_ids)).map(paymentMessage) };
  };

  const cancel = async (message: object, call: Call) => {
    await write(call);
    const { order_id: orderId } = parsePart('body', cancelRequest, message);
    const payment = await refunding.cancel({ orderId });
    if (!payment) throw problems.notFound(`There is no payment of order ${orderId}.`);
    return paymentMessage(payment);
  };

  const served = (method: (message: object, call: Call) => Promise<object>) => {
    return (message: object, call: Call) =>
      method(message, call).catch((error: unknown) => {
        throw error instanceof GrpcError ? error : asGrpcError(error, sentEpoch(call.metadata));
      });
  };

  return startGrpcServer({
    host,
    port,
    log,
    protoPath: paymentsProtoPath,
    packageName: paymentsPackageName,
    ...trust.grpcServer(callers.grpc),
    implementations: {
      Payments: {
        Charge: served(charge),
        GetPayment: served(get),
        ListPayments: served(list),
        Refund: served(refund),
        CancelPayment: served(cancel),
      },
    },
  });
}

function kept(message: object): Answer {
  return { status: 200, type: 'application/json; charset=utf-8', location: null, body: JSON.stringify(message) };
}

function sentEpoch(metadata: Metadata): number | undefined {
  const sent = metadata.get('x-strangler-epoch')[0]?.toString();
  if (sent === undefined) return undefined;
  if (/^[1-9]\d{0,14}$/.test(sent)) return Number(sent);
  throw new GrpcError('INVALID_ARGUMENT', 'x-strangler-epoch: expected one whole number from 1 on');
}
