import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { lock } from 'proper-lockfile';
import { type KeyRing, makePrivateKey, parseKeyRing, publishedKeyOf } from './key-ring.ts';
import { type KeyState, type RotationOutcome, retire, rotate } from './rotation.ts';
import { parseTrustFile, type TrustFile, TrustFileError } from './trust-bundle.ts';

/**
 * The folder from which keys are handed out: `trust/trust.json` for every process, and `SERVICE/key.json` for the processes of
 * that service and nobody else, so that each folder can be mounted by itself.
 */
export type KeyFolder = {
  trustFile: string;
  keyFile(service: string): string;
  trust(): Promise<TrustFile>;
  ring(service: string): Promise<KeyRing>;
  /** Makes a service's first key. One that has a key keeps it; what it may call is what was said last. */
  init(service: string, audiences: readonly string[]): Promise<'made' | 'kept'>;
  rotate(service: string, times: { settleMs: number }): Promise<RotationOutcome>;
  retire(service: string, times: { settleMs: number; tokenLifeMs: number }): Promise<RotationOutcome>;
};

/** How long a command waits for another one that changes the same folder. */
const lockRetries = { retries: 20, minTimeout: 100, maxTimeout: 500 };

export function openKeyFolder(folder: string, now: () => Date = () => new Date()): KeyFolder {
  const trustFile = join(folder, 'trust', 'trust.json');
  const keyFile = (service: string) => join(folder, service, 'key.json');

  const trust = async (): Promise<TrustFile> => parseTrustFile(await readFile(trustFile, 'utf8'), trustFile);
  const ring = async (service: string): Promise<KeyRing> => {
    const path = keyFile(service);
    const found = parseKeyRing(await readFile(path, 'utf8'), path);
    if (found.service === service) return found;
    throw new TrustFileError(path, `expected the keys of ${service}, found those of ${found.service}`);
  };
  const write = {
    ring: (of: KeyRing) => replaceFile(keyFile(of.service), of, 0o600),
    trust: (all: TrustFile) => replaceFile(trustFile, all, 0o644),
  };
  const alone = async <T>(work: () => Promise<T>): Promise<T> => {
    await mkdir(dirname(trustFile), { recursive: true });
    const release = await lock(trustFile, { realpath: false, retries: lockRetries });
    try {
      return await work();
    } finally {
      await release();
    }
  };
  const step = (service: string, next: (state: KeyState) => Promise<RotationOutcome>): Promise<RotationOutcome> =>
    alone(async () => {
      const all = await trust();
      const trusted = all.callers[service];
      if (trusted === undefined)
        throw new TrustFileError(
          trustFile,
          `expected ${service} among the callers, found ${Object.keys(all.callers).join(', ')}`,
        );
      const outcome = await next({ ring: await ring(service), trusted });
      if (outcome.kind === 'refused') return outcome;
      for (const part of outcome.write) {
        if (part === 'ring') await write.ring(outcome.state.ring);
        else await write.trust({ ...all, callers: { ...all.callers, [service]: outcome.state.trusted } });
      }
      return outcome;
    });

  return {
    trustFile,
    keyFile,
    trust,
    ring,
    init: (service, audiences) =>
      alone(async () => {
        const all = await trust().catch(unlessMissing<TrustFile>({ version: 1, callers: {} }));
        const known = await ring(service).catch(unlessMissing<KeyRing | undefined>(undefined));
        const own = known ?? { version: 1, service, signing: await makePrivateKey(now()) };
        const before = all.callers[service]?.keys ?? [];
        const isPublished = before.some(({ kid }) => kid === own.signing.kid);
        const keys = isPublished ? before : [...before, publishedKeyOf(own.signing, now())];
        if (known === undefined) await write.ring(own);
        await write.trust({ ...all, callers: { ...all.callers, [service]: { audiences: [...audiences], keys } } });
        return known === undefined ? 'made' : 'kept';
      }),
    rotate: (service, { settleMs }) =>
      step(service, async (state) =>
        rotate(state, await makePrivateKey(now()), { now: now(), settleMs, tokenLifeMs: 0 }),
      ),
    retire: (service, times) => step(service, async (state) => retire(state, { now: now(), ...times })),
  };
}

function unlessMissing<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return instead;
    throw error;
  };
}

/** A reader sees the old text or the new one, never half of it; a private one is never readable by others, not for a moment. */
async function replaceFile(path: string, content: object, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true, ...(mode === 0o600 ? { mode: 0o700 } : {}) });
  const next = `${path}.${process.pid}.next`;
  await writeFile(next, `${JSON.stringify(content, undefined, 2)}\n`, { flush: true, mode });
  // The mode of a new file is cut by the umask, and the trust file is for everybody.
  await chmod(next, mode);
  await rename(next, path);
}
