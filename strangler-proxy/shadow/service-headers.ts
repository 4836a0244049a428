import type { Log } from '@strangler/platform/log.ts';
import type { ServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';

export type KeptHeaders = {
  /** Those of this moment; none where they could not be made. */
  headersFor(service: string): Readonly<Record<string, string>>;
  /** Settles when they have been made for the first time, or could not be. */
  ready: Promise<void>;
  stop(): void;
};

/** A token has a third of its life before it when it is given out; it is asked for more often than that runs out. */
const asksALife = 6;
const mostMs = 5_000;

/** Keeps the headers ready by which services know us: what is sent to them waits for nothing. */
export const keepHeaders = ({
  services,
  trust,
  lifeMs,
  log,
}: {
  services: readonly string[];
  trust: Pick<ServiceTrust, 'headersFor'>;
  lifeMs: number;
  log: Log;
}): KeptHeaders => {
  const ready = new Map<string, Readonly<Record<string, string>>>();
  const prepare = async (): Promise<void> => {
    for (const service of new Set(services)) ready.set(service, await trust.headersFor(service));
  };
  const prepareOrTell = () =>
    prepare().catch((error: unknown) => log.error({ err: error }, 'no service token was made'));
  const first = prepareOrTell();
  const timer = setInterval(prepareOrTell, Math.min(mostMs, lifeMs / asksALife));
  timer.unref();
  return {
    headersFor: (service) => ready.get(service) ?? none,
    ready: first,
    stop: () => clearInterval(timer),
  };
};

const none: Readonly<Record<string, string>> = {};
