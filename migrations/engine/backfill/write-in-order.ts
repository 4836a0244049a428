import { randomBytes } from 'node:crypto';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import type { FencePass } from '../apply/fence-pass.ts';
import { awaitMark, type Checkpoint, moveCheckpoint, removeMark, writeMark } from './checkpoint.ts';
import type { KeyPlace } from './key-range.ts';
import type { Chunk } from './read-chunk.ts';
import type { ChunkWriter } from './write-chunk.ts';

/** A chunk with at least one row. */
export type FullChunk = Chunk & { lastKey: KeyPlace };

export type WrittenChunk = {
  /** As this chunk has left it. */
  checkpoint: Checkpoint;
  /** How long its transaction was open. */
  tookMs: number;
};

/** What a chunk has to know of the one before it. */
type Predecessor = {
  /** Null: it has committed. */
  mark: string | null;
  /** Its mark stands. */
  begun: Promise<void>;
  committed: Promise<Checkpoint>;
};

/**
 * Writes chunks beside each other, each in a transaction of its own, which moves the checkpoint when that of the chunk
 * before has committed: so they are committed in the order in which they are given, and one that fails takes those after
 * it with it. A chunk waits for the one before in the server, by a lock, and not in this process: a circle of those who
 * wait for each other, of which an applier may be one, is seen there and broken.
 */
export function writeInOrder({
  target,
  name,
  writer,
  pass,
  from,
}: {
  target: Pool;
  /** Of the target's table. */
  name: string;
  writer: ChunkWriter;
  pass: Pick<FencePass, 'present'>;
  /** As it stands in the target. */
  from: Checkpoint;
}): (chunk: FullChunk) => Promise<WrittenChunk> {
  // Nobody else's marks, and no table's name.
  const marks = `# ${randomBytes(12).toString('hex')} `;
  let written = 0;
  let last: Predecessor = { mark: null, begun: Promise.resolve(), committed: Promise.resolve(from) };

  return (chunk) => {
    const before = last;
    const mark = `${marks}${written}`;
    written += 1;
    const begun = Promise.withResolvers<void>();
    const startedAt = performance.now();
    const committed = write();
    // Who waits for a mark that will not stand learns why from `committed`.
    committed.then(
      () => begun.resolve(),
      () => begun.resolve(),
    );
    last = { mark, begun: begun.promise, committed };
    return committed.then((checkpoint) => ({ checkpoint, tookMs: performance.now() - startedAt }));

    async function write(): Promise<Checkpoint> {
      await before.begun;
      return await withTransaction(
        target,
        'READ COMMITTED',
        async (connection) => {
          await writeMark(connection, mark);
          begun.resolve();
          await pass.present(connection);
          const { written, parked } = await writer.write(connection, chunk.rows);
          if (before.mark !== null) await awaitMark(connection, before.mark);
          const left = await before.committed;
          const to: Checkpoint = {
            state: 'running',
            lastKey: chunk.lastKey,
            rowsRead: left.rowsRead + chunk.rows.length,
            rowsWritten: left.rowsWritten + written,
            rowsParked: left.rowsParked + parked,
          };
          await removeMark(connection, mark);
          await moveCheckpoint(connection, name, left, to);
          return to;
        },
        // The chunks after it count on what it does the first time.
        { maxAttempts: 1 },
      );
    }
  };
}
