import type { ByteBudget } from './byte-budget.ts';

const noBytes = Buffer.alloc(0);
const smallestBytes = 1_024;

/**
 * A copy of a body that goes by, up to a bound. It is one buffer that doubles, and not a list of what came: a chunk of one
 * byte would keep alive the whole packet that it came in.
 */
export class BodyCopy {
  readonly #maxBytes: number;
  readonly #budget: ByteBudget;
  #buffer = noBytes;
  #length = 0;

  constructor(maxBytes: number, budget: ByteBudget) {
    this.#maxBytes = maxBytes;
    this.#budget = budget;
  }

  /** Says why it does not hold the body any more, where it does not. */
  add(chunk: Buffer): 'kept' | 'too-large' | 'memory' {
    const length = this.#length + chunk.length;
    if (length > this.#maxBytes) return 'too-large';
    if (length > this.#buffer.length && !this.#grow(length)) return 'memory';
    chunk.copy(this.#buffer, this.#length);
    this.#length = length;
    return 'kept';
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Gives back what it holds; to be called once it is not needed any more, and harmless a second time. */
  free(): void {
    this.#budget.giveBack(this.#buffer.length);
    this.#buffer = noBytes;
    this.#length = 0;
  }

  #grow(needed: number): boolean {
    let size = Math.max(smallestBytes, this.#buffer.length);
    while (size < needed) size *= 2;
    size = Math.min(size, Math.max(this.#maxBytes, needed));
    if (!this.#budget.take(size - this.#buffer.length)) return false;
    const grown = Buffer.allocUnsafeSlow(size);
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
    return true;
  }
}
