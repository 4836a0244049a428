import { listenerTopology } from '@strangler/catalog/cache/change-listener.ts';
import { cancellationsConsumer as stockOfCancelled } from '@strangler/inventory/cancellations/cancellation-consumer.ts';
import { expiryTopology } from '@strangler/inventory/expiry/expiry-consumer.ts';
import { productNewsTopology } from '@strangler/inventory/products/product-news.ts';
import { pipeNameOf } from '@strangler/migrations/engine/pipe/direction.ts';
import { paymentNewsConsumer } from '@strangler/monolith/modules/payments/owner/payment-news.ts';
import { eventTopology, ownTopology } from '@strangler/notifications/exchanges/topology.ts';
import { answersConsumer } from '@strangler/orders/cancellation/answer-consumer.ts';
import { paymentTopology } from '@strangler/orders/neighbours/payment-consumer.ts';
import { cancellationsConsumer as moneyOfCancelled } from '@strangler/payments/cancellations/cancellation-consumer.ts';
import { refusedWebhooksTopology } from '@strangler/payments/webhooks/refused-webhooks.ts';
import { appliedExchange } from '@strangler/platform/contracts/applied-message.ts';
import {
  type BindingSpec,
  type Declaration,
  declarations,
  names,
  type TopologySpec,
} from '@strangler/platform/outbox/topology.ts';

/** Who has an account at RabbitMQ: each service, a relay a database, and the data mover with its operator. */
export const brokerAccounts = [
  ...['shop', 'catalog', 'inventory', 'notifications', 'payments', 'orders'],
  ...['relay', 'catalog_relay', 'inventory_relay', 'notifications_relay', 'payments_relay', 'orders_relay'],
  'strangler',
] as const;
export type BrokerAccount =
  | 'shop'
  | 'catalog'
  | 'inventory'
  | 'notifications'
  | 'payments'
  | 'orders'
  | 'relay'
  | 'catalog_relay'
  | 'inventory_relay'
  | 'notifications_relay'
  | 'payments_relay'
  | 'orders_relay'
  | 'strangler';

/** Regular expressions of what an account may declare and delete, publish to and bind, and read; and of routing keys. */
export type BrokerRights = {
  configure: string;
  write: string;
  read: string;
  topics: { exchange: string; write: string; read: string }[];
};

const outbox = 'outbox';
const applied = appliedExchange(outbox);

/** What everybody meets at: declared before anybody comes, by who makes the accounts. */
export const sharedTopologies: readonly TopologySpec[] = [
  { exchange: outbox, consumers: [], stream: {} },
  { exchange: applied, consumers: [] },
];
const shared = new Set(
  sharedTopologies.flatMap(declarations).flatMap((one) => (one.kind === 'binding' ? [] : [one.name])),
);

/** What each service declares, under the names that its queues have unless told. */
export const declaredBy = {
  shop: () => declarations({ exchange: outbox, consumers: [paymentNewsConsumer('shop.payments')] }),
  catalog: () => declarations(listenerTopology(outbox, 'catalog.cache')),
  inventory: () => [
    ...declarations(expiryTopology(outbox, 'inventory.expiry')),
    ...declarations(productNewsTopology(outbox, 'inventory.products')),
    ...declarations({ exchange: outbox, consumers: [stockOfCancelled('inventory.cancellations')] }),
  ],
  notifications: () => [...declarations(eventTopology(outbox, 'notifications')), ...ownTopology('notifications')],
  payments: () => [
    ...declarations(refusedWebhooksTopology(outbox, 'payments.webhooks')),
    ...declarations({ exchange: outbox, consumers: [moneyOfCancelled('payments.cancellations')] }),
  ],
  orders: () => [
    ...declarations(paymentTopology(outbox, 'orders.payments')),
    ...declarations({ exchange: outbox, consumers: [answersConsumer('orders.cancellations')] }),
  ],
} as const;

/** What dead letters go to, of every service: to be declared and bound for them. It takes nothing else, so that nobody need be there. */
export function deadLetterDeclarations(): Declaration[] {
  const isOf = (one: Declaration): boolean =>
    one.kind === 'queue' ? one.name.endsWith('.dead') : one.kind === 'binding' && one.source.endsWith('.dead');
  const all = Object.values(declaredBy).flatMap((declared) => declared());
  return all.filter((one) => isOf(one) && (one.kind !== 'binding' || shared.has(one.source)));
}

/** Each has rights on what it declares itself, reads of the shared exchanges only by its own binding keys, and publishes to none of them. */
export function brokerRights(account: BrokerAccount): BrokerRights {
  if (account === 'strangler') return { configure: '.*', write: '.*', read: '.*', topics: [] };
  const own = account in declaredBy ? declaredBy[account as keyof typeof declaredBy]() : undefined;
  if (own === undefined) return rightsOfRelay(account);
  const more = account === 'orders' ? { reads: [names.stream(outbox)] } : {};
  return rightsToDeclare(own, { ...more, hasUnnamedQueues: account === 'notifications' });
}

/** A relay publishes, and no more: events bear the shop's name, rows their pipe's, which from a service's database is the way back. */
function rightsOfRelay(account: BrokerAccount): BrokerRights {
  const slice = account.slice(0, -'_relay'.length);
  const slices = account === 'relay' ? '[a-z][a-z0-9-]*' : `(shop|${pipeNameOf(slice, 'reverse')})`;
  const topics = [{ exchange: outbox, write: `^${slices}\\.`, read: '^$' }];
  return { configure: '^$', write: only([outbox]), read: '^$', topics };
}

function rightsToDeclare(
  declared: readonly Declaration[],
  { reads = [], hasUnnamedQueues }: { reads?: readonly string[]; hasUnnamedQueues: boolean },
): BrokerRights {
  const own = declared.flatMap((one) => (one.kind === 'binding' || shared.has(one.name) ? [] : [one.name]));
  const bindings = declared.filter((one): one is BindingSpec => one.kind === 'binding');
  const sources = [...new Set(bindings.map(({ source }) => source))];
  // Whoever may read of the exchange of dead letters may have everybody's: these are bound by who makes the accounts.
  const dead = sources.filter((source) => shared.has(source) && source.endsWith('.dead'));
  const readable = sources.filter((source) => !dead.includes(source));
  // The broker gives names to queues that go with their connection; nobody else can reach those.
  const unnamed = hasUnnamedQueues ? ['amq\\.gen-.*'] : [];
  const keysOf = (exchange: string) =>
    bindings.filter(({ source }) => source === exchange).map(({ pattern }) => pattern);
  return {
    configure: only(own, unnamed),
    // Messages that are to be tried again go back through the default exchange, which leads to every queue.
    write: only([...own, ...dead, 'amq.default'], unnamed),
    read: only([...own, ...readable, ...reads], unnamed),
    topics: [outbox, applied]
      .filter((exchange) => sources.includes(exchange))
      .map((exchange) => ({ exchange, write: '^$', read: only(keysOf(exchange)) })),
  };
}

function only(literal: readonly string[], patterns: readonly string[] = []): string {
  const escaped = [...new Set(literal)].sort().map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return `^(${[...escaped, ...patterns].join('|')})$`;
}
