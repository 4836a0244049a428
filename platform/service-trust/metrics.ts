import { Counter, Gauge, type Registry } from 'prom-client';
import type { TrustMode } from './admission.ts';
import type { RefusalReason } from './judge.ts';

/** `atS` gives seconds since the epoch; undefined where there is no certificate. */
export function exposeCertificate(registry: Registry, atS: () => number | undefined): void {
  new Gauge({
    name: 'service_trust_certificate_expires_at_seconds',
    help: 'When the certificate in use is over, in seconds since the epoch; no value where there is none.',
    aggregator: 'min',
    registers: [registry],
    collect() {
      this.reset();
      const at = atS();
      if (at === undefined) this.remove();
      else this.set(at);
    },
  });
}

export type TrustMetrics = {
  accepted(transport: 'http' | 'grpc', caller: string): void;
  /** `caller` only where it was proven: a name that a stranger has written must not become a time series. */
  refused(transport: 'http' | 'grpc', caller: string | undefined, mode: TrustMode, reason: RefusalReason): void;
  loaded(what: 'trust' | 'key' | 'certificate', outcome: 'loaded' | 'refused'): void;
};

export function createTrustMetrics(registry: Registry): TrustMetrics {
  const calls = new Counter({
    name: 'service_trust_calls_total',
    help: 'Calls that only services may make, by who has proven to call, what became of them, and why.',
    labelNames: ['transport', 'caller', 'outcome', 'reason'],
    registers: [registry],
  });
  const loads = new Counter({
    name: 'service_trust_loads_total',
    help: 'Times that keys, certificates and the trust file were read anew, or refused and the last good ones kept.',
    labelNames: ['what', 'outcome'],
    registers: [registry],
  });
  return {
    accepted: (transport, caller) => calls.inc({ transport, caller, outcome: 'accepted', reason: 'none' }),
    refused: (transport, caller, mode, reason) =>
      calls.inc({
        transport,
        caller: caller ?? 'unknown',
        outcome: mode === 'report' ? 'would_refuse' : 'refused',
        reason,
      }),
    loaded: (what, outcome) => loads.inc({ what, outcome }),
  };
}
