import { randomBytes } from 'node:crypto';
import { createLog } from '@strangler/platform/log.ts';
import { declareAll, declareTopology } from '@strangler/platform/outbox/declare.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import type { StackAddresses } from '../addresses.ts';
import {
  type BrokerAccount,
  brokerAccounts,
  brokerRights,
  deadLetterDeclarations,
  sharedTopologies,
} from './broker-accounts.ts';

/** Where a system's exchanges and queues are, in a RabbitMQ that others may use too. */
export type SystemBroker = {
  /** Of the system's own virtual host, by the administrator. */
  url: string;
  /** Of the same, each by an account of its own; by whoever gave the address, where RabbitMQ's management is not known. */
  accounts: Record<BrokerAccount, string>;
  /** Deletes the virtual hosts of the systems before it. To be called when RabbitMQ has been up for a while. */
  forgetEarlier(): Promise<void>;
};

const defaultPrefix = 'strangler';
const ANSWER_TIMEOUT_MS = 30_000;

/**
 * Gives the system's virtual host: the one that it had the last time, or, `fresh`, a new one: the messages of an earlier
 * system would tell of rows that are gone.
 *
 * Deleting what the earlier system has left waits. A quorum queue that is deleted just as it has found its leader, which
 * is what happens as the server starts, takes with it RabbitMQ's supervisor of at-least-once dead-lettering, and then no
 * such queue can be declared until the server is started again (seen with 3.10.8).
 * @throws Error where RabbitMQ's management does not answer, or is needed and has no address.
 */
export async function prepareBroker(
  { rabbitmqUrl, rabbitmqManagementUrl }: Pick<StackAddresses, 'rabbitmqUrl' | 'rabbitmqManagementUrl'>,
  {
    fresh,
    prefix = defaultPrefix,
    virtualHost,
    passwords = {},
  }: {
    fresh: boolean;
    prefix?: string;
    /** Given: this one, and not one of the system's own. */
    virtualHost?: string;
    /** Those that are given; the others are drawn. */
    passwords?: Partial<Record<BrokerAccount, string>>;
  },
): Promise<SystemBroker> {
  const url = new URL(rabbitmqUrl);
  if (rabbitmqManagementUrl === undefined) {
    // Its virtual host is whoever's it was that gave the address; what is in there is theirs.
    if (fresh)
      throw new Error(
        'RabbitMQ: expected the address of its management, by which a system gets queues of its own, found none. ' +
          'Start without --fresh, or let the stack bring RabbitMQ up (unset STACK_RABBITMQ_URL)',
      );
    return { url: rabbitmqUrl, accounts: forEach(() => rabbitmqUrl), forgetEarlier: async () => {} };
  }
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const ask = async (method: 'GET' | 'PUT' | 'DELETE', path: string, body: object = {}): Promise<string> => {
    const response = await fetch(new URL(path, rabbitmqManagementUrl), {
      method,
      headers: {
        authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
        'content-type': 'application/json',
      },
      ...(method === 'PUT' ? { body: JSON.stringify(body) } : {}),
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    const text = await response.text();
    if (response.ok) return text;
    throw new Error(`RabbitMQ: ${method} ${path} answered ${response.status}: ${text.slice(0, 300)}`);
  };

  const there = JSON.parse(await ask('GET', '/api/vhosts?columns=name')) as { name: string }[];
  const earlier = there.flatMap(({ name }) => numberOf(name, prefix) ?? []).sort((a, b) => a - b);
  const last = earlier.at(-1) ?? 0;
  const own = fresh ? last + 1 : Math.max(1, last);
  const name = virtualHost ?? `${prefix}-${own}`;
  const host = encodeURIComponent(name);
  if (virtualHost === undefined) {
    await ask('PUT', `/api/vhosts/${host}`);
    await ask('PUT', `/api/permissions/${host}/${url.username}`, { configure: '.*', write: '.*', read: '.*' });
  }
  url.pathname = `/${host}`;
  await declareShared(url.href);
  const accounts: Partial<Record<BrokerAccount, string>> = {};
  for (const account of brokerAccounts) {
    const user = `${prefix}-${account}`;
    const password = passwords[account] ?? randomBytes(18).toString('hex');
    const { topics, ...rights } = brokerRights(account);
    await ask('PUT', `/api/users/${user}`, { password, tags: '' });
    for (const topic of topics) await ask('PUT', `/api/topic-permissions/${host}/${user}`, topic);
    await ask('PUT', `/api/permissions/${host}/${user}`, rights);
    accounts[account] = Object.assign(new URL(url), { username: user, password }).href;
  }
  return {
    url: url.href,
    accounts: accounts as Record<BrokerAccount, string>,
    async forgetEarlier() {
      if (virtualHost !== undefined) return;
      for (const number of earlier) if (number < own) await ask('DELETE', `/api/vhosts/${prefix}-${number}`);
    },
  };
}

/** Before anybody comes who may not: where everybody meets, and where what is given up goes. */
async function declareShared(rabbitmqUrl: string): Promise<void> {
  const rabbit = connect({ url: rabbitmqUrl, log: createLog({ name: 'broker', level: 'silent' }) });
  try {
    for (const topology of sharedTopologies) await declareTopology(rabbit, topology);
    await declareAll(rabbit, deadLetterDeclarations());
  } finally {
    await rabbit.close();
  }
}

function forEach(urlOf: (account: BrokerAccount) => string): Record<BrokerAccount, string> {
  return Object.fromEntries(brokerAccounts.map((account) => [account, urlOf(account)])) as Record<
    BrokerAccount,
    string
  >;
}

function numberOf(name: string, prefix: string): number | undefined {
  const digits = name.startsWith(`${prefix}-`) ? name.slice(prefix.length + 1) : '';
  return /^\d{1,9}$/.test(digits) ? Number(digits) : undefined;
}
