import type { WebSocket } from 'ws';
import { type Notification, notificationJson } from '../notifications/notification.ts';

/** Why a stream was closed, as WebSocket close codes (RFC 6455 section 7.4, and the private range). */
export const closeCodes = { goingAway: 1001, internalError: 1011, tokenExpired: 4401, tooSlow: 4408 } as const;

/** How many notifications are read, and may wait in the socket's buffer, at once. */
const pageSize = 50;

/** How long a client that was too slow has to read the reason. */
const closeGraceMs = 5_000;

export type StreamOptions = {
  socket: WebSocket;
  /** The id of the last notification that the client has. */
  after: number;
  /** Reads the next notifications after an id, oldest first. */
  read(afterId: number, limit: number): Promise<Notification[]>;
  /** How long a client may take to accept what was sent before it is given up. */
  sendTimeoutMs: number;
  onSlow(): void;
  onError(error: unknown): void;
};

/**
 * One client's place in its mailbox. Each wake-up sends what lies behind that place, in order, a page at a time; the next page is
 * read only when the socket has taken the one before, so a slow client costs one page of memory.
 */
export class NotificationStream {
  readonly #options: StreamOptions;
  #lastId: number;
  #state: 'idle' | 'sending' | 'sending, woken again' = 'idle';

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#lastId = options.after;
  }

  get lastId(): number {
    return this.#lastId;
  }

  wake(): void {
    if (this.#state !== 'idle') {
      this.#state = 'sending, woken again';
      return;
    }
    this.#state = 'sending';
    void this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    const { socket, read, onError } = this.#options;
    try {
      while (socket.readyState === socket.OPEN) {
        this.#state = 'sending';
        const page = await read(this.#lastId, pageSize);
        for (const [index, notification] of page.entries()) {
          const text = JSON.stringify({ type: 'notification', notification: notificationJson(notification) });
          const last = index === page.length - 1;
          if (!last) socket.send(text, () => {});
          else if ((await this.#sendAndWait(text)) === 'gone') return;
          this.#lastId = notification.id;
        }
        // Read through the method: a wake-up may have come while the page was on its way.
        if (page.length < pageSize && !this.#wokenAgain()) break;
      }
    } catch (error) {
      onError(error);
      socket.close(closeCodes.internalError, 'notifications could not be read');
    } finally {
      this.#state = 'idle';
    }
  }

  #wokenAgain(): boolean {
    return this.#state === 'sending, woken again';
  }

  /** Sends `text` and waits until it, and all before it, has left the socket's buffer. */
  async #sendAndWait(text: string): Promise<'sent' | 'gone'> {
    const { socket, sendTimeoutMs, onSlow } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, sendTimeoutMs, 'late');
    });
    const sent = new Promise<'sent' | 'gone'>((resolve) => {
      socket.send(text, (error) => resolve(error ? 'gone' : 'sent'));
    });
    const outcome = await Promise.race([sent, late]);
    clearTimeout(timer);
    if (outcome !== 'late') return outcome;
    onSlow();
    // Who is slow may still read why; who reads nothing is cut off.
    socket.close(closeCodes.tooSlow, 'what was sent was not accepted in time');
    const cut = setTimeout(() => socket.terminate(), closeGraceMs);
    cut.unref();
    socket.once('close', () => clearTimeout(cut));
    return 'gone';
  }
}
