import { canPin } from '../processes.ts';
import { cpuMicrosOf } from '../proxy/cpu-time.ts';
import { type BenchServicesReport, type Round, reportOf, roundOf } from './figures.ts';
import { startLoad } from './load.ts';
import { openSetting } from './setting.ts';
import { type ContestantName, contestantNames, contestants, pairs } from './works.ts';

export type BenchServicesOptions = {
  rounds: number;
  secondsPerRound: number;
  /** Requests under way at any time. */
  connections: number;
  say: (line: string) => void;
};

/** The instance of real servers that it starts for itself and takes away again; one of that name that is up is used as it is. */
const instanceName = 'bench';

/**
 * Measures REST and gRPC on the same work, and the cached reads beside the uncached: each kind of request alone, round by round in
 * turn, the order changed every round. One instance of each service, all on one core; the load on the other, MySQL and
 * Redis where the system puts them.
 */
export const benchServices = async ({
  rounds,
  secondsPerRound,
  connections,
  say,
}: BenchServicesOptions): Promise<BenchServicesReport> => {
  const pinned = canPin();
  const setting = await openSetting(process.env.STACK_INSTANCE ?? instanceName, pinned ? 0 : null, say);
  try {
    say(
      `${setting.engine}; ${connections} requests under way, ${rounds} rounds of ${secondsPerRound} s each; ` +
        (pinned ? 'services on core 0, load on core 1' : 'nothing pinned to cores'),
    );
    const load = await startLoad(setting.targets, pinned ? 1 : null);
    try {
      const measure = async ({ name, service }: (typeof contestants)[number], seconds: number): Promise<Round> => {
        // A token of its own: a run may outlast one.
        const token = await setting.issuer.token(1, 'admin');
        const before = cpuMicrosOf(setting.pids[service]);
        const seen = await load.run({ name, atOnce: connections, seconds, token });
        const after = cpuMicrosOf(setting.pids[service]);
        if (seen.firstFailure !== null)
          say(`${name}: ${seen.failed} requests failed, the first with ${seen.firstFailure}`);
        return roundOf(seen, before === null || after === null ? null : after - before);
      };
      for (const one of contestants) await measure(one, Math.min(2, secondsPerRound));

      const measured = new Map<ContestantName, Round[]>(contestantNames.map((name) => [name, []]));
      for (let round = 0; round < rounds; round += 1) {
        const first = round % contestants.length;
        for (const one of [...contestants.slice(first), ...contestants.slice(0, first)]) {
          measured.get(one.name)?.push(await measure(one, secondsPerRound));
        }
        const rates = [...measured].map(([name, all]) => `${name} ${Math.round(all[round]?.requestsPerSecond ?? 0)}/s`);
        say(`round ${round + 1} of ${rounds}: ${rates.join(', ')}`);
      }
      return reportOf(measured, pairs);
    } finally {
      await load.stop();
    }
  } finally {
    await setting.close();
  }
};
