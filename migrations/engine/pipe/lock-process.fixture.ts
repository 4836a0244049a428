import { createPool } from '@strangler/platform/mysql/pool.ts';
import { withOperationLock } from './operation-lock.ts';

// A process of its own, to be killed: holds the lock of the slice `shop` and says so.
const pool = createPool(process.argv[2] as string);
await withOperationLock(pool, 'shop', 'advance', async () => {
  process.stdout.write('held\n');
  await new Promise((resolve) => setTimeout(resolve, 60_000));
});
