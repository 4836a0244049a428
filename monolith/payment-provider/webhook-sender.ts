import { randomBytes } from 'node:crypto';
import { runAsJob } from '@strangler/platform/http/request-context.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Charge } from './charge-book.ts';
import { signatureHeader, signWebhook } from './signature.ts';

export type WebhookEvent = {
  id: string;
  type: 'charge.created' | 'charge.succeeded' | 'charge.failed' | 'charge.refunded';
  created_at: string;
  data: { charge: Charge };
};

/** What became of one webhook so far, for `GET /control/webhooks`. */
export type Delivery = {
  event_id: string;
  type: WebhookEvent['type'];
  reference: string;
  attempts: number;
  /** The last answer's status, or 0 where there was no answer. */
  last_status: number | null;
  state: 'waiting' | 'delivered' | 'given_up';
};

export type WebhookSenderOptions = {
  secret: string;
  /** First and longest wait between two attempts; the wait doubles from one to the other. */
  retryMinMs: number;
  retryMaxMs: number;
  /** Attempts after which a webhook is given up. */
  maxAttempts: number;
  /** Webhooks waiting at once; above it the newest is dropped and counted. */
  maxWaiting: number;
  /** Milliseconds that the receiver has to answer. */
  timeoutMs: number;
  log: Log;
};

const rememberedDeliveries = 1_000;

/** Sends signed webhooks and sends each again, ever more slowly, until it is answered 2xx. */
export class WebhookSender {
  readonly #options: WebhookSenderOptions;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #closing = new AbortController();
  readonly #deliveries: Delivery[] = [];
  #waiting = 0;
  dropped = 0;

  constructor(options: WebhookSenderOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** The newest deliveries, oldest first. */
  deliveries(): readonly Delivery[] {
    return this.#deliveries;
  }

  /** An event that tells of `charge` as it is now. */
  event(type: WebhookEvent['type'], charge: Charge): WebhookEvent {
    return {
      id: `evt_${randomBytes(12).toString('hex')}`,
      type,
      created_at: new Date().toISOString(),
      data: { charge: { ...charge } },
    };
  }

  /** Sends `event` to `url` after `delayMs`, and again until it is taken. */
  send(event: WebhookEvent, url: string, delayMs: number): void {
    if (this.#closing.signal.aborted) return;
    if (this.#waiting >= this.#options.maxWaiting) {
      this.dropped += 1;
      this.#options.log.warn({ event: event.id, waiting: this.#waiting }, 'webhook dropped: too many are waiting');
      return;
    }
    this.#waiting += 1;
    const delivery: Delivery = {
      event_id: event.id,
      type: event.type,
      reference: event.data.charge.reference,
      attempts: 0,
      last_status: null,
      state: 'waiting',
    };
    this.#deliveries.push(delivery);
    if (this.#deliveries.length > rememberedDeliveries) this.#deliveries.shift();
    this.#later(delayMs, () => this.#attempt(JSON.stringify(event), url, delivery));
  }

  /** Stops sending; what still waits is forgotten. */
  close(): void {
    this.#closing.abort();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #later(delayMs: number, run: () => Promise<void>): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      // In a trace of the provider's own: what it is told of its customers' traces is nothing, and so is what it tells.
      void runAsJob('send webhook', run);
    }, delayMs);
    timer.unref();
    this.#timers.add(timer);
  }

  async #attempt(body: string, url: string, delivery: Delivery): Promise<void> {
    const { secret, timeoutMs, retryMinMs, retryMaxMs, maxAttempts, log } = this.#options;
    delivery.attempts += 1;
    delivery.last_status = await post(
      url,
      body,
      signWebhook(secret, body, new Date()),
      timeoutMs,
      this.#closing.signal,
    );
    if (this.#closing.signal.aborted) return;
    if (delivery.last_status >= 200 && delivery.last_status < 300) {
      delivery.state = 'delivered';
      this.#waiting -= 1;
      return;
    }
    if (delivery.attempts >= maxAttempts) {
      delivery.state = 'given_up';
      this.#waiting -= 1;
      log.error({ delivery }, 'webhook given up');
      return;
    }
    const waitMs = Math.min(retryMaxMs, retryMinMs * 2 ** (delivery.attempts - 1));
    this.#later(waitMs * (0.75 + Math.random() / 2), () => this.#attempt(body, url, delivery));
  }
}

/** The status of the answer, or 0 where there was none. */
async function post(url: string, body: string, signature: string, timeoutMs: number, closing: AbortSignal) {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', [signatureHeader]: signature },
      body,
      redirect: 'manual',
      signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), closing]),
    });
    await response.body?.cancel();
    return response.status;
  } catch {
    return 0;
  }
}
