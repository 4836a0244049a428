import { parseArgs } from 'node:util';
import { wholeNumberOf } from '@strangler/e2e/options/whole-number.ts';
import { benchProxy } from './proxy/bench-proxy.ts';

const usage = `Usage: npm run bench -- proxy [--rounds 5] [--seconds 4] [--connections 32] [--json]

Measures ours and its peers on the same work in the same run and prints ratios. With --json the last line of
standard output is one JSON object. Nothing is asserted: a figure that falls short is printed as it is.`;

const number = wholeNumberOf('bench');

const parse = () => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '4' },
        connections: { type: 'string', default: '32' },
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
if (values.help) {
  process.stdout.write(`${usage}\n`);
} else if (positionals.length === 1 && positionals[0] === 'proxy') {
  const report = await benchProxy({
    rounds: number(values.rounds, 'rounds', 100),
    secondsPerRound: number(values.seconds, 'seconds', 600),
    connections: number(values.connections, 'connections', 1000),
    say: (line) => process.stderr.write(`${line}\n`),
  });
  if (!values.json) process.stdout.write(`${report.table}\n`);
  else process.stdout.write(`${JSON.stringify(report.json)}\n`);
} else {
  process.stderr.write(`bench: expected the name of a bench (proxy), found "${positionals.join(' ')}"\n${usage}\n`);
  process.exitCode = 2;
}
