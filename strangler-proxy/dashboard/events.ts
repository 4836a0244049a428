import { problems } from '@strangler/platform/http/problem.ts';
import type { Request, Response } from 'express';
import { eventText, type Feed } from './feed.ts';
import type { Caller } from './guard.ts';

export type EventStreamOptions = {
  feed: Feed;
  /** All that there is to show, for a page that begins or was away for too long. */
  snapshot(): unknown;
  /** Pages that may look on at one time; further ones are answered 503. Default 64. */
  maxStreams?: number;
  /** What may wait for a page that does not read; then it is cut, and comes back with its last event. Default 4 MiB. */
  maxWaitingBytes?: number;
  beatEveryMs?: number;
};

export type EventStreams = {
  /** Answers with `text/event-stream` until the caller's session is over, or either side ends it. */
  open(req: Request, res: Response, caller: Caller): void;
  closeAll(): void;
  /** Dashboards that look on now. */
  size(): number;
};

export const createEventStreams = (options: EventStreamOptions): EventStreams => {
  const { feed, snapshot, maxStreams = 64, maxWaitingBytes = 4 * 1024 ** 2, beatEveryMs = 2_000 } = options;
  const open = new Set<Response>();
  return {
    open(req, res, caller) {
      if (open.size >= maxStreams)
        throw problems.unavailable(10, `Expected at most ${maxStreams} dashboards at a time.`);
      res.status(200).set({
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      });
      open.add(res);
      const write = (text: string): void => {
        if (res.writableLength + text.length > maxWaitingBytes) res.destroy();
        else res.write(text);
      };
      // A page tells its last event by a header where the browser reconnects, by the query where the page itself does.
      const lastId = req.get('last-event-id') ?? (typeof req.query.after === 'string' ? req.query.after : undefined);
      const missed = lastId === undefined ? null : feed.since(lastId);
      write('retry: 1000\n\n');
      if (missed === null) write(eventText({ id: feed.lastId(), kind: 'snapshot', json: JSON.stringify(snapshot()) }));
      else for (const event of missed) write(eventText(event));
      const unsubscribe = feed.subscribe((event) => write(eventText(event)));
      // The clock of whoever looks may be wrong; ages are told by ours.
      const beat = (): void => write(`event: beat\ndata: ${JSON.stringify({ now: new Date().toISOString() })}\n\n`);
      beat();
      const beating = setInterval(beat, beatEveryMs).unref();
      const over =
        caller.untilMs === null ? undefined : setTimeout(() => res.end(), caller.untilMs - Date.now()).unref();
      res.once('close', () => {
        unsubscribe();
        clearInterval(beating);
        clearTimeout(over);
        open.delete(res);
      });
    },
    size: () => open.size,
    closeAll() {
      for (const res of open) res.end();
    },
  };
};
