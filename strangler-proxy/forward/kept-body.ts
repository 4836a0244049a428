/** A body larger than this is not kept: a write that is refused for its epoch is then answered 503, and is the client's to repeat. */
const mostKeptBytes = 64 * 1024;

/** A small body as it goes by, so that a write which a service has refused undone can be sent once more. */
export class KeptBody {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #whole = false;

  /** Every byte is here. */
  get whole(): boolean {
    return this.#whole && this.#bytes <= mostKeptBytes;
  }

  get chunks(): readonly Buffer[] {
    return this.#chunks;
  }

  add(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes <= mostKeptBytes) this.#chunks.push(chunk);
    else this.#chunks = [];
  }

  end(): void {
    this.#whole = true;
  }
}
