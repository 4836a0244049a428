import { parseArgs } from 'node:util';
import { interruptedBySignals } from '../options/interrupted.ts';
import { wholeNumberOf } from '../options/whole-number.ts';
import { formatBounds } from './bounds.ts';
import { createProgress } from './progress.ts';
import { runAllSlicesScenario } from './scenarios/all.ts';
import { runCompareScenario } from './scenarios/compare.ts';
import { runFlagsScenario } from './scenarios/flags.ts';
import { runInventoryScenario } from './scenarios/inventory.ts';
import { runNotificationsScenario } from './scenarios/notifications.ts';
import { runOrdersScenario } from './scenarios/orders.ts';
import { runPaymentsScenario } from './scenarios/payments.ts';
import { runPipeScenario } from './scenarios/pipe.ts';
import { runStoryScenario } from './scenarios/story.ts';

const usage = `Usage: npm run demo -- [--scenario story|flags|pipe|compare | --slice catalog|inventory|notifications|payments|orders|all] [--rate 60] [--size 500] [--seconds 4] [--json] [--keep]

Brings real servers and the whole shop up, drives shoppers through two proxies, and shows what the kit does under them.

  --scenario story   the catalogue to its service, writes included, all the way back, and forward again to its end, while one
                     of each kind of process is killed; every acknowledged write is looked for on both sides (unless told)
  --scenario flags   catalogue reads 0 → 10 → 50 → 100 → 0 %, service instances killed on the way
  --scenario pipe    the catalogue's data copied and kept in step while shop and customers change it, and while a relay,
                     an applier and the broker are killed; both sides found equal in the end
  --scenario compare live answers compared with the service's: a healthy one passes the gate, planted faults are found with
                     their path, and a canary whose service goes wrong takes its users back by itself
  --slice catalog    the story of that slice
  --slice inventory  the stock to its service, back, to it again and to the end, while the shop's own checkout takes it wherever it is:
                     in its transaction, or by a reservation over gRPC; everything is added up at rest
  --slice notifications  the telling of customers to its service, back, to it again and to the end, while they buy and listen
                     on WebSockets: each is told of everything once, by one side or the other
  --slice payments   the payments to their service, back, to it again and to the end, while the provider goes wrong in every
                     way: its books are held against payments and orders at rest
  --slice orders     checkout and orders to their service, back, to it again and to the end, after inventory, payments and
                     notifications: one transaction becomes a saga; orders, stock and the provider's books are added up at rest
  --slice all        the whole shop, one slice after the other, each to its end
  --rate <number>    requests a second (60; pipe: 40, as many more of them write; of slices but the catalogue: 20, as much as two
                     slow cores bear with every process on them)
  --size <number>    products in the shop (500; pipe: 2000)
  --seconds <number> how long each step is watched (4)
  --json             the last line of standard output is one JSON object; progress goes to standard error
  --keep             leave everything running afterwards and print the addresses; "npm stop" ends it

Exit status 0 only if every bound was kept.`;

const scenarios = {
  story: { run: runStoryScenario, rate: '60', products: '500' },
  flags: { run: runFlagsScenario, rate: '60', products: '500' },
  compare: { run: runCompareScenario, rate: '60', products: '500' },
  pipe: { run: runPipeScenario, rate: '40', products: '2000' },
};

const slices = {
  catalog: scenarios.story,
  inventory: { run: runInventoryScenario, rate: '20', products: '100' },
  notifications: { run: runNotificationsScenario, rate: '20', products: '100' },
  payments: { run: runPaymentsScenario, rate: '20', products: '100' },
  orders: { run: runOrdersScenario, rate: '20', products: '100' },
  all: { run: runAllSlicesScenario, rate: '20', products: '100' },
};

const fail = (message: string): never => {
  process.stderr.write(`demo: ${message}\n`);
  process.exit(2);
};

const wholeNumber = wholeNumberOf('demo');

const parse = () => {
  try {
    return parseArgs({
      options: {
        scenario: { type: 'string' },
        slice: { type: 'string' },
        rate: { type: 'string' },
        size: { type: 'string' },
        seconds: { type: 'string', default: '4' },
        json: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    return fail((error as Error).message.split('\n')[0]!);
  }
};

/** What a name stands for. */
const oneOf = <T>(option: string, name: string, choices: Record<string, T>): T => {
  const found = Object.hasOwn(choices, name) ? choices[name] : undefined;
  return found ?? fail(`${option}: expected ${Object.keys(choices).join(', ')}, found "${name}"`);
};

const values = parse();
if (values.help) {
  process.stdout.write(`${usage}\n`);
} else {
  if (values.scenario !== undefined && values.slice !== undefined) fail('expected --scenario or --slice, found both');
  const scenario =
    values.slice === undefined
      ? oneOf('--scenario', values.scenario ?? 'story', scenarios)
      : oneOf('--slice', values.slice, slices);
  const report = await scenario.run({
    requestsPerSecond: wholeNumber(values.rate ?? scenario.rate, 'rate', 2000),
    products: wholeNumber(values.size ?? scenario.products, 'size', 1_000_000),
    secondsPerStep: wholeNumber(values.seconds, 'seconds', 3600),
    instance: process.env.STACK_INSTANCE ?? 'demo',
    keep: values.keep,
    progress: createProgress((text) => (values.json ? process.stderr : process.stdout).write(text)),
    signal: interruptedBySignals(),
  });
  for (const { action, failure } of report.failures.slice(0, 5))
    process.stderr.write(`failed: ${action}: ${failure}\n`);
  process.stdout.write(
    values.json
      ? `${JSON.stringify(report)}\n`
      : `\n${formatBounds(report.bounds)}\n\n${report.ok ? 'Every bound was kept.' : 'A bound was broken.'}\n`,
  );
  process.exitCode = report.ok ? 0 : 1;
}
