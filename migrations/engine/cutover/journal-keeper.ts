import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { type CutoverJournal, cutoverKey, type JournalStep } from '@strangler/platform/contracts/cutover-journal.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Queryable } from '../schema/queryable.ts';
import { beginStep } from './journal.ts';
import { updateJournal } from './journal-table.ts';

/** How long Consul may take for the copy of a journal. */
const copyTimeoutMs = 2_000;

export type JournalKeeperOptions = {
  journal: CutoverJournal;
  /** The monolith's database. */
  db: Queryable;
  consul: { client: ConsulClient; root: string };
  log: Log;
  /** Awaited after each write of the table, and after each step before the next write; for tests. */
  reached(point: string): Promise<void> | void;
};

/**
 * Writes a journal as it grows: to the table, which is waited for, and behind it a copy to Consul for those who watch.
 * Of copies that wait for Consul only the last is written.
 */
export class JournalKeeper {
  #journal: CutoverJournal;
  readonly #options: JournalKeeperOptions;
  #copying: Promise<void> | null = null;
  #copied: CutoverJournal | null = null;
  #failure: unknown = null;

  constructor(options: JournalKeeperOptions) {
    this.#journal = options.journal;
    this.#options = options;
  }

  get journal(): CutoverJournal {
    return this.#journal;
  }

  /** What is known more now; written with the next step. */
  note(change: (journal: CutoverJournal) => CutoverJournal): void {
    this.#journal = change(this.#journal);
  }

  /** Writes that the last step has ended and this one begins. @throws what the database refuses; JournalGone */
  async begin(step: JournalStep): Promise<void> {
    this.note((journal) => beginStep(journal, step, new Date()));
    await this.write(step);
  }

  /** Writes the journal as it is now. */
  async write(point: string): Promise<void> {
    await updateJournal(this.#options.db, this.#journal);
    this.#copy();
    await this.#options.reached(point);
  }

  /** The step is done and not yet written so. */
  async did(step: JournalStep): Promise<void> {
    await this.#options.reached(`${step} done`);
  }

  /** Not waited for: what comes next asks Consul itself. @throws the last failure to write the copy, if it failed */
  requireCopy(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /** Resolves when the copy is written, or cannot be. */
  async settled(): Promise<void> {
    await this.#copying;
    if (this.#failure !== null) {
      this.#options.log.warn({ err: this.#failure }, "the cut-over's journal in Consul is not the last; the table is");
    }
  }

  #copy(): void {
    this.#copying ??= this.#copyAll().finally(() => {
      this.#copying = null;
    });
  }

  async #copyAll(): Promise<void> {
    const { client, root } = this.#options.consul;
    while (this.#copied !== this.#journal) {
      const journal = this.#journal;
      try {
        await client.kv.put(cutoverKey(root, journal.slice), JSON.stringify(journal), { timeoutMs: copyTimeoutMs });
        this.#failure = null;
      } catch (error) {
        this.#failure = error;
      }
      this.#copied = journal;
    }
  }
}
