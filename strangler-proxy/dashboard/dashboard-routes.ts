import { join } from 'node:path';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { parseBody } from '@strangler/platform/http/validate.ts';
import type { ReportReader } from '@strangler/platform/shadow-report/read-report.ts';
import express, { type RequestHandler, Router } from 'express';
import { z } from 'zod';
import { asProblem, changeBody, documentOrFirst, editBody, makeChange, planChange } from './changes.ts';
import type { EventStreams } from './events.ts';
import { type Guard, howToGetTokens } from './guard.ts';
import { type Orders, orderBody } from './orders.ts';
import type { TokenHolders } from './roles.ts';
import type { Sessions } from './sessions.ts';

export type DashboardRoutesOptions = {
  slices: readonly Slice[];
  store: FlagStore | null;
  report: ReportReader | null;
  /** Null where flags are in no Consul. */
  orders: Orders | null;
  holders: TokenHolders | null;
  sessions: Sessions;
  cookieName: string;
  guard: Guard;
  streams: EventStreams;
  /** Told of each change that was made, before its answer goes out. */
  onChange(made: { slice: string; by: string; change: FlagDocument['change'] }): void;
  nowMs?: () => number;
};

const pagesFolder = join(import.meta.dirname, 'pages');

/** Everything of ours, nothing of anybody else's, and nothing inline. */
const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/** Sign-ins that fail, of everybody together, before nobody is let in for the rest of the minute. */
const mostFailedSignIns = 20;

/** `/dashboard`: the page, and what it asks. */
export const dashboardRoutes = (options: DashboardRoutesOptions): Router => {
  const { slices, store, report, orders, holders, sessions, cookieName, guard, streams, onChange } = options;
  const nowMs = options.nowMs ?? Date.now;
  const router = Router();
  router.use(harden);

  const sliceOf = (name: unknown): Slice => {
    const slice = slices.find((one) => one.slice === name);
    if (slice !== undefined) return slice;
    throw problems.notFound(`Expected a slice of this proxy (${slices.map((one) => one.slice).join(', ') || 'none'}).`);
  };
  const storeOf = (): FlagStore => {
    if (store !== null) return store;
    throw problems.unavailable(60, 'This proxy follows no flags: start it with --slices and --flags.');
  };

  router.get('/api/session', (req, res) => {
    const { name, role, by, untilMs } = guard.require(req, 'viewer');
    const until = untilMs === null ? null : new Date(untilMs).toISOString();
    res.json({ name, role, by, until, hint: holders === null ? howToGetTokens : null });
  });

  const failed = countPerMinute(nowMs);
  router.post('/api/session', jsonBody(), (req, res) => {
    guard.requireOwnPage(req);
    if (holders === null) throw problems.notFound(howToGetTokens);
    const { token } = parseBody(z.strictObject({ token: z.string().max(512) }), req);
    if (failed.count() >= mostFailedSignIns) throw problems.tooMany(60, 'Too many tokens were wrong. Wait a minute.');
    const person = holders.find(token);
    if (person === undefined) {
      failed.add();
      throw problems.unauthorized('Expected a token that this proxy knows.');
    }
    const { value, session } = sessions.open(person);
    res.cookie(cookieName, value, { ...cookie, maxAge: session.untilMs - nowMs() });
    res.status(201).json({ name: person.name, role: person.role, until: new Date(session.untilMs).toISOString() });
  });

  router.delete('/api/session', (req, res) => {
    guard.requireOwnPage(req);
    res.clearCookie(cookieName, cookie).status(204).end();
  });

  router.get('/api/events', (req, res) => {
    streams.open(req, res, guard.require(req, 'viewer'));
  });

  router.get('/api/slices/:slice/examples/:id', async (req, res) => {
    guard.require(req, 'viewer');
    const { slice } = sliceOf(req.params.slice);
    const example = await report?.example(slice, req.params.id);
    if (example === undefined)
      throw problems.unavailable(5, 'The report of compared answers cannot be read: Redis is away.');
    if (example === null)
      throw problems.notFound('Expected an example that is kept; this one has made room for newer ones.');
    res.json(example);
  });

  router.post('/api/slices/:slice/plan', jsonBody(), async (req, res) => {
    guard.require(req, 'viewer');
    const slice = sliceOf(req.params.slice);
    const edit = parseBody(editBody, req);
    const document = await documentOrFirst(storeOf(), slice.slice);
    try {
      res.json(planChange(slice, document, edit));
    } catch (error) {
      throw asProblem(error);
    }
  });

  router.post('/api/slices/:slice/flags', jsonBody(), async (req, res) => {
    const { name: by } = guard.require(req, 'operator');
    const slice = sliceOf(req.params.slice);
    const change = parseBody(changeBody, req);
    const document = await makeChange(storeOf(), slice, change, by);
    onChange({ slice: slice.slice, by, change: document.change });
    res.json(document);
  });

  router.post('/api/slices/:slice/orders', jsonBody(), async (req, res) => {
    const { name: by } = guard.require(req, 'admin');
    const slice = sliceOf(req.params.slice);
    const body = parseBody(orderBody, req);
    if (orders === null)
      throw problems.unavailable(60, 'Orders go through Consul, and this proxy has its flags elsewhere.');
    const document = await documentOrFirst(storeOf(), slice.slice);
    res.status(202).json(await orders.give(document, body, by));
  });

  // Without the slash the page's own addresses would lead elsewhere.
  router.get('/', (req, res, next) => {
    if (req.originalUrl.split('?', 1)[0]?.endsWith('/')) next();
    else res.redirect(308, `${req.baseUrl}/`);
  });
  router.use(
    express.static(pagesFolder, { index: 'index.html', redirect: false, cacheControl: false, dotfiles: 'ignore' }),
  );
  return router;
};

const cookie = { httpOnly: true, sameSite: 'strict', path: '/dashboard' } as const;

const harden: RequestHandler = (_req, res, next) => {
  res.set({
    'content-security-policy': policy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'cache-control': 'no-cache',
  });
  next();
};

const countPerMinute = (nowMs: () => number) => {
  let minute = 0;
  let counted = 0;
  const turn = (): void => {
    const now = Math.floor(nowMs() / 60_000);
    if (now !== minute) counted = 0;
    minute = now;
  };
  return {
    count(): number {
      turn();
      return counted;
    },
    add(): void {
      turn();
      counted += 1;
    },
  };
};
