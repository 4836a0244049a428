import CircuitBreaker from 'opossum';
import { Counter, Gauge, type Registry } from 'prom-client';

/** Nothing was sent to the provider: it is known that nothing can have happened there. */
export class NotSent extends Error {
  readonly retryAfterMs: number;
  constructor(cause: string, retryAfterMs: number) {
    super(`the payment provider was not called: ${cause}`);
    this.name = 'NotSent';
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * A bulkhead with a circuit of its own: so many calls at once, and none while the provider fails. What callers wait for and what the
 * reconciler asks have one each, so that neither takes the other's room.
 */
export type Compartment = {
  readonly name: string;
  /** Runs one call; what it throws is a failure of the provider. Throws NotSent where the compartment is full or its circuit open. */
  run<T>(call: () => Promise<T>): Promise<T>;
  state(): 'closed' | 'half_open' | 'open';
  close(): void;
};

export type CompartmentOptions = {
  name: string;
  /** Calls at once. */
  capacity: number;
  /** How long an open circuit stays so; longer than a call may take, so that no call of before is heard after it. */
  resetMs: number;
  /** Calls within 10 s below which the circuit stays closed whatever they come to. */
  volume: number;
  metrics: CompartmentMetrics;
};

export type CompartmentMetrics = ReturnType<typeof createCompartmentMetrics>;

/** Told to callers in `Retry-After` when the compartment is full. */
const fullRetryMs = 1_000;

const states = { closed: 0, half_open: 1, open: 2 } as const;

export function createCompartment({ name, capacity, resetMs, volume, metrics }: CompartmentOptions): Compartment {
  const circuit = new CircuitBreaker((call: () => Promise<unknown>) => call(), {
    name,
    // Calls end by themselves in time, and know what that means for the money.
    timeout: false,
    resetTimeout: resetMs,
    errorThresholdPercentage: 50,
    volumeThreshold: volume,
    rollingCountTimeout: 10_000,
    rollingPercentilesEnabled: false,
  });
  let inFlight = 0;
  const compartment: Compartment = {
    name,
    async run(call) {
      // Not the library's semaphore: it would count a full compartment as a failure of the provider.
      if (inFlight >= capacity) {
        metrics.refused.inc({ compartment: name, cause: 'full' });
        throw new NotSent(`${capacity} calls are under way`, fullRetryMs);
      }
      inFlight += 1;
      try {
        return (await circuit.fire(call)) as Awaited<ReturnType<typeof call>>;
      } catch (error) {
        if ((error as { code?: unknown }).code !== 'EOPENBREAKER') throw error;
        metrics.refused.inc({ compartment: name, cause: 'open' });
        throw new NotSent('it has failed too often of late', resetMs);
      } finally {
        inFlight -= 1;
      }
    },
    state: () => (circuit.closed ? 'closed' : circuit.halfOpen ? 'half_open' : 'open'),
    close: () => circuit.shutdown(),
  };
  metrics.watch(compartment, () => inFlight);
  return compartment;
}

export function createCompartmentMetrics(registry: Registry) {
  const watched: { compartment: Compartment; inFlight: () => number }[] = [];
  new Gauge({
    name: 'payments_provider_circuit',
    help: 'The circuit to the payment provider: 0 closed, 1 half open, 2 open',
    labelNames: ['compartment'],
    registers: [registry],
    collect() {
      for (const { compartment } of watched) this.set({ compartment: compartment.name }, states[compartment.state()]);
    },
  });
  new Gauge({
    name: 'payments_provider_calls_in_flight',
    help: 'Calls to the payment provider that are under way',
    labelNames: ['compartment'],
    registers: [registry],
    collect() {
      for (const { compartment, inFlight } of watched) this.set({ compartment: compartment.name }, inFlight());
    },
  });
  return {
    refused: new Counter({
      name: 'payments_provider_calls_refused_total',
      help: 'Calls to the payment provider that were not made: the compartment was full, or its circuit open',
      labelNames: ['compartment', 'cause'],
      registers: [registry],
    }),
    watch: (compartment: Compartment, inFlight: () => number) => void watched.push({ compartment, inFlight }),
  };
}
