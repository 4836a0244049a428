import http from 'node:http';
import type { FailureCause, Outcome, Resort, Upstream } from '../upstream.ts';

export type Sent =
  | { kind: 'answered'; by: string; status: number }
  | { kind: 'failed'; instance: string; cause: FailureCause }
  | { kind: 'refused'; why: string };

/** Sends one GET to an instance lent by the upstream, and tells the upstream how it went. */
export async function send(
  upstream: Upstream,
  path = '/',
  exclude?: ReadonlySet<string>,
  resort?: Resort,
): Promise<Sent> {
  const lease = upstream.acquire(exclude, 'repeatable', resort);
  if (lease.kind === 'refused') return { kind: 'refused', why: lease.why };
  const startedMs = performance.now();
  const { sent, outcome } = await get(lease.instance.origin + path, lease.instance.id, startedMs);
  lease.release(outcome);
  return sent;
}

/** Sends a read as a proxy would: what fails on one instance is tried once on another. */
export async function read(upstream: Upstream): Promise<Sent> {
  const first = await send(upstream);
  return first.kind === 'failed' ? send(upstream, '/', new Set([first.instance])) : first;
}

function get(url: string, instance: string, startedMs: number): Promise<{ sent: Sent; outcome: Outcome }> {
  return new Promise((resolve) => {
    const fail = (cause: FailureCause) =>
      resolve({
        sent: { kind: 'failed', instance, cause },
        outcome: { kind: 'failed', cause, latencyMs: performance.now() - startedMs },
      });
    const request = http.get(url, { agent: false, timeout: 5_000 }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      answer.on('error', () => fail('reset'));
      answer.on('end', () => {
        const status = answer.statusCode ?? 0;
        resolve({
          sent: { kind: 'answered', by: JSON.parse(text).id, status },
          outcome: { kind: 'answered', status, latencyMs: performance.now() - startedMs },
        });
      });
    });
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', (error: NodeJS.ErrnoException) =>
      fail(error.code === 'ECONNREFUSED' ? 'connect' : error.message === 'timeout' ? 'timeout' : 'reset'),
    );
  });
}
