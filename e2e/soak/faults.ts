import type { ServerName } from '@strangler/stack/addresses.ts';
import { killServer, pauseServer, resumeServer, startServer } from '@strangler/stack/servers.ts';
import type { ProcessHandle } from '@strangler/stack/system/system.ts';

/** Something that goes wrong for a while: `begin` breaks it, `end` mends it and resolves when it works again. */
export type Fault = { name: string; begin(): Promise<void>; end(): Promise<void> };

/** A process killed with -9, and started again on the same port. */
export const killed = (process: ProcessHandle): Fault => ({
  name: `${process.name} killed`,
  begin: async () => {
    process.kill('SIGKILL');
  },
  end: async () => {
    await process.restart();
    await process.waitReady();
  },
});

/** A process that keeps its connections and answers nobody. */
export const stalled = (process: ProcessHandle): Fault => ({
  name: `${process.name} frozen`,
  begin: async () => {
    process.kill('SIGSTOP');
  },
  end: async () => {
    process.kill('SIGCONT');
    await process.waitReady();
  },
});

/** A server of the stack frozen: connections stay open and nothing answers. */
export const frozen = (instance: string, server: ServerName): Fault => ({
  name: `${server} frozen`,
  begin: () => pauseServer(instance, server),
  end: () => resumeServer(instance, server),
});

/** A server of the stack killed with -9, and started again with its data. */
export const crashed = (instance: string, server: ServerName): Fault => ({
  name: `${server} killed`,
  begin: () => killServer(instance, server),
  end: () => startServer(instance, server),
});

/** Several at the same time. */
export const together = (...faults: Fault[]): Fault => ({
  name: faults.map((fault) => fault.name).join(' and '),
  begin: async () => {
    await Promise.all(faults.map((fault) => fault.begin()));
  },
  end: async () => {
    await Promise.all(faults.map((fault) => fault.end()));
  },
});
