import type { FlagDocument, FlagDocumentError } from '../contracts/flag-document.ts';

/** A flag document as it is stored, with the index that a compare-and-swap must name. */
export type StoredFlag = { document: FlagDocument; index: string };

/** What a store holds: the documents that parse, and the faults of those that do not. */
export type FlagListing = { flags: ReadonlyMap<string, StoredFlag>; refused: ReadonlyMap<string, FlagDocumentError> };

export type PutResult = 'written' | 'conflict';

export type FlagWatcher = {
  /** Called with the whole listing at the start and after every change. */
  onChange(listing: FlagListing): void;
  /** The store cannot be reached or read; the watch goes on by itself. */
  onError(error: Error, retryInMs: number): void;
  /** The store answers again. */
  onHealthy?(): void;
};

/**
 * Where flag documents live. Two adapters, Consul's key-value store and a local file, pass one conformance suite.
 * Every method but `watch` rejects when the store cannot be reached.
 */
export type FlagStore = {
  /** For messages: where the documents are, without secrets. */
  readonly location: string;
  /** @throws FlagDocumentError where the stored document does not parse. */
  get(slice: string): Promise<StoredFlag | undefined>;
  list(): Promise<FlagListing>;
  /**
   * Writes the document and its audit entry together, only if the slice's document is still the one with index `expected`
   * (null: only if there is none). Where the outcome is unknown it reads back and never guesses.
   */
  put(document: FlagDocument, expected: string | null): Promise<PutResult>;
  /** The slice's past and present documents, newest first. */
  history(slice: string, limit: number): Promise<FlagDocument[]>;
  /** Tells of every change until the signal is aborted. */
  watch(watcher: FlagWatcher, signal: AbortSignal): void;
};

/** Somebody else changed the slice's flags between this operator's look and write. */
export class FlagConflictError extends Error {
  override name = 'FlagConflictError';
}
