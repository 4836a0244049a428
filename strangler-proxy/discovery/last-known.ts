import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '@strangler/platform/log.ts';
import { z } from 'zod';
import type { AnnouncedInstance } from './accept-instances.ts';

const documentSchema = z.object({
  service: z.string(),
  learntAt: z.iso.datetime(),
  instances: z.array(
    // Files of earlier versions hold passing instances only, and do not say so.
    z.object({ id: z.string(), address: z.string(), port: z.number(), passing: z.boolean().default(true) }),
  ),
});

/** What was last known of a service's instances, and when it was learnt. */
export type LastKnownDocument = z.infer<typeof documentSchema>;

/** Keeps on disk what was last known of each service, so that a proxy can start while Consul is away. */
export type LastKnown = {
  /** Undefined where nothing readable is kept. Never throws. */
  read(service: string): Promise<LastKnownDocument | undefined>;
  /** Replaces the file as a whole; of writes that overtake each other the last one stays. Never throws. */
  write(service: string, instances: readonly AnnouncedInstance[]): Promise<void>;
  /** Settles when what was to be written has been. */
  written(): Promise<void>;
};

/** Files `<directory>/<service>.json`; the directory is made when something is written. */
export function openLastKnown(directory: string, log: Log): LastKnown {
  const pending = new Map<string, { document: LastKnownDocument; done: Promise<void> }>();

  async function read(service: string): Promise<LastKnownDocument | undefined> {
    const file = join(directory, fileName(service));
    try {
      const document = documentSchema.parse(JSON.parse(await readFile(file, 'utf8')));
      if (document.service === service) return document;
      log.warn({ file, service, found: document.service }, 'the kept instances are another service’s; not used');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        log.warn({ err: error, file, service }, 'the kept instances cannot be read; going on without them');
      }
    }
    return undefined;
  }

  function write(service: string, instances: readonly AnnouncedInstance[]): Promise<void> {
    const kept = instances.map(({ id, address, port, passing }) => ({ id, address, port, passing }));
    const document = { service, learntAt: new Date().toISOString(), instances: kept };
    const running = pending.get(service);
    if (running !== undefined) {
      running.document = document;
      return running.done;
    }
    const entry = { document, done: Promise.resolve() };
    pending.set(service, entry);
    entry.done = writeUntilCurrent(service, entry);
    return entry.done;
  }

  async function writeUntilCurrent(service: string, entry: { document: LastKnownDocument }): Promise<void> {
    const file = join(directory, fileName(service));
    let written: LastKnownDocument | undefined;
    while (written !== entry.document) {
      written = entry.document;
      try {
        await mkdir(directory, { recursive: true });
        await replaceFile(file, `${JSON.stringify(written, null, 2)}\n`);
      } catch (error) {
        log.warn(
          { err: error, file, service },
          'the instances cannot be kept on disk; a start without Consul will miss them',
        );
      }
    }
    pending.delete(service);
  }

  return {
    read,
    write,
    async written() {
      await Promise.all([...pending.values()].map(({ done }) => done));
    },
  };
}

/** A file name of its own for every service name; no name leads out of the directory. */
export function fileName(service: string): string {
  const safe = encodeURIComponent(service).replaceAll('.', '%2E').replaceAll('*', '%2A');
  return `${safe}.json`;
}

async function replaceFile(file: string, text: string): Promise<void> {
  const draft = `${file}.${process.pid}.draft`;
  try {
    const handle = await open(draft, 'w', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
