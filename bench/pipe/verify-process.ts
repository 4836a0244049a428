import { type VerifyTotals, verifyTable } from '@strangler/migrations/engine/verify/verify.ts';
import { onlyTable, openPipe } from './setting.ts';
import { answerQuestions } from './worker.ts';

/** Verify as a process of its own: compares the whole table each time it is asked, and tells how long that took. */
const [slices, folder, sourceUrl, targetUrl] = process.argv.slice(2) as [string, string, string, string];
const pipe = await openPipe({ slices, folder, sourceUrl, targetUrl });
const table = await onlyTable(pipe);

export type Verified = { tookMs: number; rows: number; differences: number };

const verify = async (): Promise<Verified> => {
  const startedAt = performance.now();
  let last: VerifyTotals | undefined;
  for await (const event of verifyTable({ table, source: pipe.source.read, target: pipe.target.read }))
    if ('rowsCompared' in event) last = event;
  return {
    tookMs: performance.now() - startedAt,
    rows: last?.rowsCompared ?? 0,
    differences: (last?.differences ?? 0) + (last?.unsettled ?? 0),
  };
};

answerQuestions(verify, () => pipe.close());
