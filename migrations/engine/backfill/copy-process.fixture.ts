import { pino } from 'pino';
import { mapped } from '../apply/fixture.ts';
import { createApplyPool, createReadPool } from '../apply/session.ts';
import { backfillTable } from './backfill.ts';

// A process of its own, to be killed: copies the table goods and says a line after each chunk.
const [sourceUrl, targetUrl] = process.argv.slice(2) as [string, string];
const source = createReadPool(sourceUrl);
const target = createApplyPool(targetUrl);
const nameOf = (url: string) => new URL(url).pathname.slice(1);
const table = await mapped(
  { source, sourceDatabase: nameOf(sourceUrl), target, targetDatabase: nameOf(targetUrl) },
  { source: 'goods' },
);
for await (const event of backfillTable({
  table,
  source,
  target,
  log: pino({ level: 'silent' }),
  limits: { maxRows: 20 },
})) {
  process.stdout.write(`${event.kind} ${event.rowsRead}\n`);
}
await source.end();
await target.end();
