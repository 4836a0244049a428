import { type BackfillProgress, backfillTable } from '@strangler/migrations/engine/backfill/backfill.ts';
import { createLog } from '@strangler/platform/log.ts';
import { onlyTable, openPipe } from './setting.ts';
import { answerQuestions } from './worker.ts';

/** A backfill as a process of its own: copies the whole table anew each time it is asked, and tells how long that took. */
const [slices, folder, sourceUrl, targetUrl] = process.argv.slice(2) as [string, string, string, string];
const pipe = await openPipe({ slices, folder, sourceUrl, targetUrl });
const table = await onlyTable(pipe);
const log = createLog({ name: 'backfill', level: 'warn' });

export type Copied = { tookMs: number; rows: number };

const copy = async (): Promise<Copied> => {
  const startedAt = performance.now();
  let last: BackfillProgress | undefined;
  const { read } = pipe.source;
  for await (const event of backfillTable({ table, source: read, target: pipe.target.apply, log, restart: true }))
    last = event;
  return { tookMs: performance.now() - startedAt, rows: last?.rowsWritten ?? 0 };
};

answerQuestions(copy, () => pipe.close());
