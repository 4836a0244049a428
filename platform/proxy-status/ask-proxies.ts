import { type ProxyStatus, proxyStatusPath, proxyStatusSchema } from '../contracts/proxy-status.ts';

/** What a proxy said of itself, or why it said nothing. */
export type AskedProxy = { address: string; status: ProxyStatus } | { address: string; failure: string };

const timeoutMs = 2000;

/** Asks every proxy for its status at the same time; one that does not answer is told as such, never left out. */
export const askProxies = (addresses: readonly string[]): Promise<AskedProxy[]> =>
  Promise.all(
    addresses.map(async (address) => {
      try {
        const answer = await fetch(new URL(proxyStatusPath, address), { signal: AbortSignal.timeout(timeoutMs) });
        if (!answer.ok) return { address, failure: `answered ${answer.status}` };
        return { address, status: proxyStatusSchema.parse(await answer.json()) };
      } catch (error) {
        const { cause, message } = error as Error;
        return { address, failure: (cause as Error | undefined)?.message ?? message };
      }
    }),
  );
