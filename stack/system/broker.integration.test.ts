import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import { testServers } from '@strangler/platform/testing/servers.ts';
import { connect } from 'amqplib';
import { prepareBroker } from './broker.ts';

const prefix = `t-${randomBytes(5).toString('hex')}`;

const management = async (method: string, path: string): Promise<unknown> => {
  const { rabbitmqUrl, rabbitmqManagementUrl } = testServers();
  const { username, password } = new URL(rabbitmqUrl);
  const answer = await fetch(new URL(path, rabbitmqManagementUrl), {
    method,
    headers: { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` },
  });
  return method === 'GET' ? await answer.json() : undefined;
};
const ownHosts = async (): Promise<string[]> =>
  ((await management('GET', '/api/vhosts')) as { name: string }[])
    .map(({ name }) => name)
    .filter((name) => name.startsWith(prefix))
    .sort();

afterEach(async () => {
  for (const name of await ownHosts()) await management('DELETE', `/api/vhosts/${name}`);
});

/** Messages in a queue; undefined where there is none. */
const waiting = async (url: string, queue: string): Promise<number | undefined> => {
  const connection = await connect(url);
  try {
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    return (await channel.checkQueue(queue)).messageCount;
  } catch (error) {
    if ((error as { code?: number }).code === 404) return undefined;
    throw error;
  } finally {
    await connection.close();
  }
};

const leaveMessage = async (url: string, queue: string): Promise<void> => {
  const connection = await connect(url);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { durable: true });
  channel.sendToQueue(queue, Buffer.from('of an earlier system'), { persistent: true });
  await channel.waitForConfirms();
  await connection.close();
};

describe('the broker of a system', () => {
  test('keeps what is in its virtual host, unless it is to be fresh', async () => {
    const servers = testServers();
    const { url } = await prepareBroker(servers, { fresh: true, prefix });
    expect(new URL(url).pathname).toBe(`/${prefix}-1`);
    await leaveMessage(url, 'left');
    const again = await prepareBroker(servers, { fresh: false, prefix });
    expect(again.url).toBe(url);
    await again.forgetEarlier();
    expect(await waiting(url, 'left')).toBe(1);

    const fresh = await prepareBroker(servers, { fresh: true, prefix });
    expect(await waiting(fresh.url, 'left')).toBeUndefined();
    await fresh.forgetEarlier();
    expect(await ownHosts()).toEqual([`${prefix}-2`]);
    expect((await prepareBroker(servers, { fresh: false, prefix })).url).toBe(fresh.url);
  });

  test('without management is what it was given, and cannot be made fresh', async () => {
    const { rabbitmqUrl } = testServers();
    expect(await prepareBroker({ rabbitmqUrl }, { fresh: false })).toMatchObject({ url: rabbitmqUrl });
    await expect(prepareBroker({ rabbitmqUrl }, { fresh: true })).rejects.toThrow(/without --fresh/);
  });
});
