import { fileURLToPath } from 'node:url';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { epochHeader } from '@strangler/platform/contracts/headers.ts';
import { staleEpochHeader } from '@strangler/platform/contracts/stale-epoch.ts';
import { createBalancedGrpcClient } from '@strangler/platform/grpc/balanced-client.ts';
import type { GrpcClientTrust } from '@strangler/platform/grpc/client.ts';
import { GrpcCallError } from '@strangler/platform/grpc/errors.ts';
import { discoveredGrpcInstances, fixedGrpcInstances } from '@strangler/platform/grpc/instances.ts';
import type { Log } from '@strangler/platform/log.ts';
import { StaleEpochAnswer } from '@strangler/platform/ownership/through-seam.ts';
import type { MachineToken } from '../../../auth/machine-token.ts';
import type { PaymentStatus } from '../payment-state.ts';
import type { PaymentShown } from '../representation.ts';
import { PaymentsAway } from './payments-away.ts';

export type ChargeThere = {
  orderId: number;
  accountId: number;
  amountCents: number;
  currency: string;
  cardToken: string;
};

/**
 * Speaks with the payments service. Every call may be repeated, and is where an instance is away. `epoch`: the one that the
 * write is sent under; throws StaleEpochAnswer where it is over, and PaymentsAway where the service could not say.
 */
export type PaymentsClient = {
  /** Takes an order's money, once. */
  charge(request: ChargeThere, epoch: number): Promise<PaymentShown>;
  /** The order's payment; undefined where there is none. */
  find(orderId: number): Promise<PaymentShown | undefined>;
  /** The payments of these orders, by order; of those that have none there is none. */
  ofOrders(orderIds: readonly number[]): Promise<ReadonlyMap<number, PaymentShown>>;
  /** The order is given up; undefined where there is no payment. */
  cancel(orderId: number, epoch: number): Promise<PaymentShown | undefined>;
  close(): Promise<void>;
};

/** Longer than the service waits for the provider, and for its fence. */
const CHARGE_TIMEOUT_MS = 15_000;
const ANSWER_TIMEOUT_MS = 10_000;
/** Of what a page is shown with. */
const SHOW_TIMEOUT_MS = 2_000;
/** Of one request; the service takes no more. */
const MOST_ORDERS = 200;

const passing = ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED', 'RESOURCE_EXHAUSTED', 'ABORTED'];

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

export function createPaymentsClient({
  address,
  consul,
  machineToken,
  trust,
  log,
}: {
  /** `host:port`, or `consul` to ask Consul for `payments`. */
  address: string;
  consul: ConsulClient | undefined;
  machineToken: MachineToken;
  /** By which the service knows who calls; the machine token is for one that does not ask. */
  trust: GrpcClientTrust;
  log: Log;
}): PaymentsClient {
  const instances =
    address === 'consul' && consul !== undefined
      ? discoveredGrpcInstances({ consul, service: 'payments', log })
      : fixedGrpcInstances([address]);
  const client = createBalancedGrpcClient({
    instances,
    protoPath: fileURLToPath(new URL('./payments.proto', import.meta.url)),
    packageName: 'payments.v1',
    serviceName: 'Payments',
    deadlineMs: ANSWER_TIMEOUT_MS,
    trust,
  });

  const call = async <T extends object>(
    method: string,
    request: object,
    { epoch, deadlineMs }: { epoch?: number; deadlineMs?: number } = {},
  ): Promise<T> => {
    const metadata: Record<string, string> = {
      authorization: await machineToken(),
      ...(epoch === undefined ? {} : { [epochHeader]: `${epoch}` }),
    };
    try {
      const options = { idempotent: true, metadata, ...(deadlineMs === undefined ? {} : { deadlineMs }) };
      return await client.call<T>(method, request, options);
    } catch (error) {
      if (!(error instanceof GrpcCallError)) throw error;
      const known = Number(error.metadata.get(staleEpochHeader)[0]);
      if (epoch !== undefined && known > 0) throw new StaleEpochAnswer(epoch, known);
      throw passing.includes(error.statusName) ? new PaymentsAway(error) : error;
    }
  };
  const orUndefined = async (found: Promise<WirePayment>): Promise<PaymentShown | undefined> => {
    try {
      return shown(await found);
    } catch (error) {
      if (error instanceof GrpcCallError && error.statusName === 'NOT_FOUND') return undefined;
      throw error;
    }
  };

  return {
    async charge({ orderId, accountId, amountCents, currency, cardToken }, epoch) {
      const request = {
        order_id: orderId,
        account_id: accountId,
        amount_cents: amountCents,
        currency,
        card_token: cardToken,
        idempotency_key: `order-${orderId}`,
      };
      const options = { epoch, deadlineMs: CHARGE_TIMEOUT_MS };
      return shown((await call<{ payment: WirePayment }>('Charge', request, options)).payment);
    },
    find: (orderId) =>
      orUndefined(call<WirePayment>('GetPayment', { order_id: orderId }, { deadlineMs: SHOW_TIMEOUT_MS })),
    async ofOrders(orderIds) {
      const known = new Map<number, PaymentShown>();
      for (let from = 0; from < orderIds.length; from += MOST_ORDERS) {
        const request = { order_ids: orderIds.slice(from, from + MOST_ORDERS) };
        const options = { deadlineMs: SHOW_TIMEOUT_MS };
        const { payments } = await call<{ payments?: WirePayment[] }>('ListPayments', request, options);
        for (const payment of payments ?? []) known.set(payment.order_id, shown(payment));
      }
      return known;
    },
    cancel: (orderId, epoch) => orUndefined(call<WirePayment>('CancelPayment', { order_id: orderId }, { epoch })),
    async close() {
      client.close();
      await instances.stop();
    },
  };
}

function shown(wire: WirePayment): PaymentShown {
  const { id, order_id, status, amount_cents, currency, failure_code, created_at, updated_at } = wire;
  return {
    ...{ id, order_id, status, amount_cents, currency },
    failure_code: failure_code === '' ? null : failure_code,
    created_at: new Date(created_at),
    updated_at: new Date(updated_at),
  };
}
