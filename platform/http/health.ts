import { Router } from 'express';
import { redactText } from '../log.ts';

/** Resolves when what it looks at is usable, with what is to be said of that, if anything; throws when it is not. */
// biome-ignore lint/suspicious/noConfusingVoidType: a check that says nothing returns nothing.
export type HealthCheck = () => Promise<string | void>;

type CheckResult = 'ok' | `ok: ${string}` | 'timed out' | `failed: ${string}`;

/**
 * `GET /health/live`: 200 as long as the process answers at all. `GET /health/ready`: 200 when every check passes, 503
 * while draining or when one fails or takes longer than `timeoutMs` (default 2,000), naming it. A check that hangs is
 * not started a second time.
 */
export function healthRouter({
  checks,
  draining,
  timeoutMs = 2_000,
}: {
  checks: Record<string, HealthCheck>;
  draining: () => boolean;
  timeoutMs?: number;
}): Router {
  const running = new Map<string, Promise<CheckResult>>();

  const result = (name: string, check: HealthCheck): Promise<CheckResult> => {
    const current = running.get(name) ?? outcome(check).finally(() => running.delete(name));
    running.set(name, current);
    return withTimeout(current, timeoutMs);
  };

  const router = Router();
  router.get('/health/live', (_req, res) => {
    res.set('cache-control', 'no-store').json({ status: 'live' });
  });
  router.get('/health/ready', async (_req, res) => {
    res.set('cache-control', 'no-store');
    if (draining()) {
      res.status(503).json({ status: 'draining', checks: {} });
      return;
    }
    const names = Object.keys(checks);
    const results = await Promise.all(names.map((name) => result(name, checks[name] as HealthCheck)));
    const ready = results.every((each) => each === 'ok' || each.startsWith('ok: '));
    res.status(ready ? 200 : 503).json({
      status: ready ? 'ready' : 'not ready',
      checks: Object.fromEntries(names.map((name, at) => [name, results[at]])),
    });
  });
  return router;
}

async function outcome(check: HealthCheck): Promise<CheckResult> {
  try {
    const said = await check();
    return said ? `ok: ${said}` : 'ok';
  } catch (error) {
    const { message, name } = Object(error) as Partial<Error>;
    return `failed: ${redactText(message || name || String(error)).slice(0, 200)}`;
  }
}

async function withTimeout(result: Promise<CheckResult>, timeoutMs: number): Promise<CheckResult> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<CheckResult>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, 'timed out');
  });
  try {
    return await Promise.race([result, late]);
  } finally {
    clearTimeout(timer);
  }
}
