import { parseArgs } from 'node:util';
import { wholeNumberOf } from '@strangler/e2e/options/whole-number.ts';
import { benchCutover } from './cutover/bench-cutover.ts';
import { benchPipe } from './pipe/bench-pipe.ts';
import { benchPolicies } from './proxy/bench-policies.ts';
import { benchProxy } from './proxy/bench-proxy.ts';
import { benchServices } from './services/bench-services.ts';
import { benchShadow } from './shadow/bench-shadow.ts';

const usage = `Usage: npm run bench -- proxy [--rounds 5] [--seconds 4] [--connections 32] [--policies] [--json]
       npm run bench -- pipe [--rounds 5] [--rows 500000] [--quick] [--json]
       npm run bench -- shadow [--rounds 5] [--seconds 4] [--connections 32] [--rate 1000] [--json]
       npm run bench -- cutover [--cutovers 40] [--rate 500] [--json]
       npm run bench -- services [--rounds 5] [--seconds 4] [--connections 32] [--json]

proxy: the front door beside other proxies, before a slice and with a token and a rate limit besides; with --policies: plain, with each policy
of the gateway alone and with all of them, beside the same (REDIS_URL: where limits are counted and answers kept). shadow: the front door while it compares every answer with a service's, healthy or
not, beside the same without it. pipe: relay, backfill, verify and capture beside what the servers do by
themselves, and from commit to applied; on real servers of its own (STACK_INSTANCE names another instance, STACK_DB=mariadb
takes the other engine); --quick makes 2 rounds of few rows. cutover: how long clients
who write so many times a second wait while the ownership of the writes moves, and for what; on a system of its own.
services: REST beside gRPC on the same work, at the catalogue with and without its cache and at the inventory; on real servers.

Measures ours and its peers on the same work in the same run and prints ratios. With --json the last line of
standard output is one JSON object. Nothing is asserted: a figure that falls short is printed as it is.`;

const number = wholeNumberOf('bench');

const parse = () => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: 'string' },
        seconds: { type: 'string', default: '4' },
        connections: { type: 'string', default: '32' },
        rows: { type: 'string' },
        cutovers: { type: 'string', default: '40' },
        rate: { type: 'string' },
        quick: { type: 'boolean', default: false },
        policies: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message.split('\n')[0]}\n`);
    process.exit(2);
  }
};

const { values, positionals } = parse();
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const print = ({ table, json }: { table: string; json: unknown }): void =>
  void process.stdout.write(`${values.json ? JSON.stringify(json) : table}\n`);
const bench = positionals.length === 1 ? positionals[0] : undefined;

if (values.help) {
  process.stdout.write(`${usage}\n`);
} else if (bench === 'proxy') {
  const options = {
    rounds: number(values.rounds ?? '5', 'rounds', 100),
    secondsPerRound: number(values.seconds, 'seconds', 600),
    connections: number(values.connections, 'connections', 1000),
    say,
  };
  const { REDIS_URL: redisUrl = null } = process.env;
  print(values.policies ? await benchPolicies({ ...options, redisUrl }) : await benchProxy({ ...options, redisUrl }));
} else if (bench === 'shadow') {
  const { table, json } = await benchShadow({
    rounds: number(values.rounds ?? '5', 'rounds', 100),
    secondsPerRound: number(values.seconds, 'seconds', 600),
    connections: number(values.connections, 'connections', 1000),
    readsPerSecond: number(values.rate ?? '1000', 'rate', 100_000),
    say,
  });
  if (values.json) say(table);
  print({ table, json });
} else if (bench === 'pipe') {
  const { quick } = values;
  print(
    await benchPipe({
      rounds: number(values.rounds ?? (quick ? '2' : '5'), 'rounds', 100),
      rows: number(values.rows ?? (quick ? '20000' : '500000'), 'rows', 100_000_000),
      quick,
      say,
    }),
  );
} else if (bench === 'services') {
  const { table, json } = await benchServices({
    rounds: number(values.rounds ?? '5', 'rounds', 100),
    secondsPerRound: number(values.seconds, 'seconds', 600),
    connections: number(values.connections, 'connections', 1000),
    say,
  });
  if (values.json) say(table);
  print({ table, json });
} else if (bench === 'cutover') {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => interrupted.abort(new Error(`stopped by ${signal}`)));
  const { table, json } = await benchCutover({
    cutovers: number(values.cutovers, 'cutovers', 10_000),
    writesPerSecond: number(values.rate ?? '500', 'rate', 5_000),
    say,
    signal: interrupted.signal,
  });
  if (values.json) say(table);
  print({ table, json });
} else {
  process.stderr.write(
    `bench: expected the name of a bench (proxy, shadow, pipe, cutover, services), found "${positionals.join(' ')}"\n${usage}\n`,
  );
  process.exitCode = 2;
}
