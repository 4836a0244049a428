import { fileURLToPath } from 'node:url';
import { createBalancedGrpcClient } from '@strangler/platform/grpc/balanced-client.ts';
import type { GrpcClientTrust } from '@strangler/platform/grpc/client.ts';
import { GrpcCallError } from '@strangler/platform/grpc/errors.ts';
import type { GrpcInstances } from '@strangler/platform/grpc/instances.ts';
import type { PaymentStatus } from '../saga/saga-state.ts';
import { NoAnswer } from './no-answer.ts';
import type { ServiceToken } from './service-token.ts';

/** A payment as the payments show it. */
export type Payment = {
  id: number;
  orderId: number;
  status: PaymentStatus;
  amountCents: number;
  currency: string;
  failureCode: string | null;
  createdAt: Date;
  updatedAt: Date;
};

export type ChargeRequest = {
  orderId: number;
  accountId: number;
  amountCents: number;
  currency: string;
  cardToken: string;
  key: string;
};

/** The payments. Each throws NoAnswer where they could not say. */
export type Payments = {
  /** Takes the money for an order, once, however often. `refused`: never, and nothing was taken. */
  charge(request: ChargeRequest): Promise<{ kind: 'payment'; payment: Payment } | { kind: 'refused'; code: string }>;
  /** Undefined where the order has none. */
  ofOrder(orderId: number): Promise<Payment | undefined>;
  /** All money that was or will be taken goes back. Undefined where the order has no payment. */
  cancel(orderId: number): Promise<Payment | undefined>;
  close(): void;
};

type WirePayment = {
  id: number;
  order_id: number;
  status: PaymentStatus;
  amount_cents: number;
  currency: string;
  failure_code: string;
  created_at: string;
  updated_at: string;
};

const refusals: Record<string, string> = {
  INVALID_ARGUMENT: 'rejected_by_payments',
  FAILED_PRECONDITION: 'other_payment',
};

export function createPayments({
  instances,
  serviceToken,
  timeoutMs,
  trust,
}: {
  instances: GrpcInstances;
  serviceToken: ServiceToken;
  timeoutMs: number;
  trust: GrpcClientTrust;
}): Payments {
  const client = createBalancedGrpcClient({
    instances,
    protoPath: fileURLToPath(new URL('../proto/payments/v1/payments.proto', import.meta.url)),
    packageName: 'payments.v1',
    serviceName: 'Payments',
    deadlineMs: timeoutMs,
    trust,
  });

  const call = async <T extends object>(method: string, request: object): Promise<T> => {
    let authorization: string;
    try {
      authorization = await serviceToken();
    } catch (error) {
      throw new NoAnswer('a token of this service', error);
    }
    return client.call<T>(method, request, { idempotent: method !== 'Charge', metadata: { authorization } });
  };
  const found = async (method: string, request: object): Promise<Payment | undefined> => {
    try {
      return paymentOf(await call<WirePayment>(method, request));
    } catch (error) {
      if (error instanceof GrpcCallError && error.statusName === 'NOT_FOUND') return undefined;
      throw error instanceof NoAnswer ? error : new NoAnswer(`payments ${method}`, error);
    }
  };

  return {
    async charge({ orderId, accountId, amountCents, currency, cardToken, key }) {
      const request = {
        ...{ order_id: orderId, account_id: accountId, amount_cents: amountCents, currency },
        ...{ card_token: cardToken, idempotency_key: key },
      };
      try {
        const { payment } = await call<{ payment: WirePayment }>('Charge', request);
        return { kind: 'payment', payment: paymentOf(payment) };
      } catch (error) {
        const code = error instanceof GrpcCallError ? refusals[error.statusName] : undefined;
        if (code !== undefined) return { kind: 'refused', code };
        throw error instanceof NoAnswer ? error : new NoAnswer('payments Charge', error);
      }
    },
    ofOrder: (orderId) => found('GetPayment', { order_id: orderId }),
    cancel: (orderId) => found('CancelPayment', { order_id: orderId }),
    close: () => client.close(),
  };
}

function paymentOf(wire: WirePayment): Payment {
  return {
    id: wire.id,
    orderId: wire.order_id,
    status: wire.status,
    amountCents: wire.amount_cents,
    currency: wire.currency,
    failureCode: wire.failure_code === '' ? null : wire.failure_code,
    createdAt: new Date(wire.created_at),
    updatedAt: new Date(wire.updated_at),
  };
}
