import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { own } from './exchanges/topology.ts';
import { createJobQueues } from './jobs/job-queues.ts';
import { startTestService, type TestService } from './testing/notifications.ts';
import { shopEvents as events, leftToService as mark } from './testing/shop-events.ts';

let service: TestService;
let redis: TcpProxy;
let account = 900;
let token: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  // It takes the events; the jobs are for the processes below.
  service = await startTestService('process', {
    WORKERS: 'none',
    JOB_LEASE: '1s',
    JOB_LOCK: '500ms',
    SMTP_TIMEOUT: '30s',
  });
  redis = await startTcpProxy(testServers().redisUrl);
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await redis?.close();
  await service?.stop();
});
beforeEach(async () => {
  account += 1;
  token = await service.issuer.token(account);
  await service.tell(events.registered(account));
});

type Process = { url: string; child: ChildProcess; exited: Promise<unknown[]>; metrics(): Promise<string> };

/** The program itself, listening. */
async function start(env: NodeJS.ProcessEnv): Promise<Process> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./main.ts', import.meta.url))], {
    env: { ...programEnvironment(), ...service.env, LOG_LEVEL: 'info', WORKERS: 'email,digest', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const exited = once(child, 'exit');
  let output = '';
  child.stdout?.on('data', (chunk) => {
    output = (output + chunk).slice(-100_000);
  });
  const url = await eventually(() => /"url":"(http[^"]+)"/.exec(output)?.[1] ?? false);
  const metrics = async () => (await fetch(`${url}/metrics`)).text();
  await eventually(async () => /^notifications_listening(?:\{.*\})? 1$/m.test(await metrics()));
  return { url, child, exited, metrics };
}

const mails = () => service.mail.mailbox.list(`customer-${account}@example.com`);
const job = async () => {
  const [rows] = await service.pool.query('SELECT state, attempts, doubtful FROM jobs WHERE account_id = ?', [account]);
  return (rows as { state: string; attempts: number; doubtful: number }[])[0];
};

describe('the process', () => {
  test('that is killed while it sends a mail leaves the job to another, which sends it', async () => {
    const doomed = await start({});
    service.mail.mailbox.setFault({ mode: 'hang', times: 1, delay_ms: 1 });
    await service.tell(events.placed(account * 10, account, { mark }));
    await eventually(() => service.mail.mailbox.begun() === 1);
    expect(await job()).toMatchObject({ state: 'running', attempts: 1 });
    doomed.child.kill('SIGKILL');
    await doomed.exited;
    const heir = await start({});
    await eventually(() => mails().length === 1);
    await eventually(async () => expect(await job()).toEqual({ state: 'done', attempts: 2, doubtful: 1 }));
    expect(mails()).toHaveLength(1);
    heir.child.kill('SIGTERM');
    expect(await heir.exited).toEqual([0, null]);
  });

  test('without Redis leaves the mails in RabbitMQ, and sends each once when it is there', async () => {
    await redis.refuse();
    const { child, exited, url } = await start({ REDIS_URL: redis.url });
    const tellAll = Array.from({ length: 30 }, (_, n) =>
      service.tell(events.placed(account * 100 + n, account, { mark })),
    );
    await Promise.all(tellAll);
    const channel = await service.rabbit.channel();
    const queue = own.deliveryQueue(service.prefix, 'email', 'en');
    // Twenty are in hand, which is the prefetch; the others have not been given out.
    await eventually(async () => (await channel.checkQueue(queue)).messageCount === 10);
    await channel.close();
    expect((await fetch(`${url}/health/ready`)).status).toBe(200);
    expect(mails()).toEqual([]);
    await redis.pass();
    await eventually(() => mails().length === 30);
    expect(new Set(mails().map(({ messageId }) => messageId)).size).toBe(30);
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });

  test('makes the digests on schedule, one a day and account however often the schedule comes up', async () => {
    const body = { locale: 'en', email: 'digest' };
    await service.send('PUT', '/api/notifications/preferences', { token, body });
    await service.tell(events.placed(account * 10, account, { mark }));
    const { consulUrl } = testServers();
    const id = `notifications-${service.prefix}`;
    const { child, exited } = await start({ DIGEST_AT: '* * * * * *', CONSUL_URL: consulUrl, SERVICE_ID: id });
    const registered = async () =>
      Object.keys((await (await fetch(`${consulUrl}/v1/agent/services`)).json()) as object);
    await eventually(async () => expect(await registered()).toContain(id));
    await eventually(() => mails().length === 1);
    const retries = { attempts: 1, baseMs: 1, jitter: 0 };
    const { redisUrl } = testServers();
    const queues = createJobQueues({ redisUrl, prefix: `${service.prefix}:jobs`, retries, log: service.log });
    await eventually(async () => queues.ready() && (await queues.scheduled()) >= 3);
    await queues.close();
    expect(mails().map(({ subject }) => subject)).toEqual(['One unread notification']);
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    expect(await registered()).not.toContain(id);
  });
});

test('an environment that is wrong is told in one go, each variable with what was expected', async () => {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./main.ts', import.meta.url))], {
    env: { ...programEnvironment(), PORT: 'x', WORKERS: 'email,letters', JOB_JITTER: '2' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let told = '';
  child.stderr?.on('data', (chunk) => {
    told += chunk;
  });
  const [code] = await once(child, 'exit');
  expect(code).not.toBe(0);
  for (const variable of ['PORT', 'WORKERS', 'JOB_JITTER', 'DATABASE_URL']) expect(told).toContain(variable);
});
