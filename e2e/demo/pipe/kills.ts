import { crashed, type Fault, killed } from '../../soak/faults.ts';
import type { Progress } from '../progress.ts';
import type { Shop } from '../shop.ts';

/** What was killed with -9, what the pipe was at then, and how long it was until it worked again. */
export type Kill = { name: string; during: string; backAfterMs: number };

export type Kills = {
  /** Kills the relay the first time and the applier the second; each is started again at once, as a supervisor does. */
  nextProcess(during: string): void;
  /** Kills what is left, the broker last, and resolves when all are back. Rejects with what kept one from coming back. */
  rest(during: string): Promise<Kill[]>;
};

export const planKills = (shop: Shop, progress: Progress): Kills => {
  const { system } = shop;
  const processes: Fault[] = [killed(system.process('relay-1')), killed(system.process('applier-catalog-1'))];
  const underWay: Promise<Kill>[] = [];
  const kill = async ({ name, begin, end }: Fault, during: string): Promise<Kill> => {
    const killedAt = performance.now();
    await begin();
    progress.say(`${name} with -9, during ${during}`);
    await end();
    const backAfterMs = Math.round(performance.now() - killedAt);
    progress.say(`  ${name}: back after ${(backAfterMs / 1000).toFixed(1)} s`);
    return { name, during, backAfterMs };
  };
  const nextProcess = (during: string): void => {
    const fault = processes.shift();
    if (fault === undefined) return;
    const done = kill(fault, during);
    // Whoever waits for all of them is told.
    done.catch(() => {});
    underWay.push(done);
  };
  return {
    nextProcess,
    async rest(during) {
      while (processes.length > 0) nextProcess(during);
      const kills = await Promise.all(underWay);
      // Not before: RabbitMQ 3.10 does not find again a quorum queue that was declared less than a second before its death.
      kills.push(await kill(crashed(system.instance, 'rabbitmq'), during));
      // Whoever is at the broker has to come back to it, too.
      const users = system.processes.filter(({ kind }) => kind === 'relay' || kind === 'applier');
      await Promise.all(users.map((process) => process.waitReady()));
      return kills;
    },
  };
};
