import { join } from 'node:path';
import { stackHome } from '../home/paths.ts';
import { stackSettings } from '../home/settings.ts';
import { type StartStage, startStages } from './start-stages.ts';
import { findSystem, operatorEnvironment, type SystemAddresses } from './system-file.ts';

const usage = `Usage: npm start -- [--size <products>] [--stage monolith|sync|shadow] [--fresh] [--json | --env]

Brings up MySQL, RabbitMQ, Redis and Consul, and on them the shop, the extracted services, two proxies, and the relays
and appliers that keep the services' data in step. The catalogue is taken to the stage that is asked for.
Everything goes on running; npm stop takes it down.

  --size <products>  how many products the shop is seeded with when it is empty (200)
  --stage <stage>    monolith: nothing of the catalogue is moved yet; sync: its data is copied and kept in step;
                     shadow (unless told): and both sides were found equal. A slice that is further stays there
  --fresh            start from empty databases, flags, queues and caches
  --json             print the addresses as JSON
  --env              print them as a shell's variables: eval "$(npm start --silent -- --env)"`;

const args = process.argv.slice(2);
const json = args.includes('--json');
const env = args.includes('--env');
const fresh = args.includes('--fresh');
const sizeAt = args.indexOf('--size');
const size = sizeAt < 0 ? '200' : (args[sizeAt + 1] ?? '');
const stageAt = args.indexOf('--stage');
const stage = stageAt < 0 ? 'shadow' : (args[stageAt + 1] ?? '');
const known = new Set([
  ...['--json', '--env', '--fresh', '--size', '--stage'],
  ...(sizeAt < 0 ? [] : [size]),
  ...(stageAt < 0 ? [] : [stage]),
]);
const isStage = (text: string): text is StartStage => (startStages as readonly string[]).includes(text);
const tell = (line: string): void => void process.stderr.write(`${line}\n`);

/** As a word of the shell. */
const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

type Pids = readonly { name: string; pid: number }[];

function show(addresses: SystemAddresses, pids: Pids): void {
  if (env) {
    // What `strangler` and an operator's requests need, and the process ids for whoever wants to see one die.
    // The flag store is found by Consul's address.
    const { STRANGLER_FLAGS: _, ...operator } = operatorEnvironment(addresses);
    const variables = {
      CONSUL_URL: addresses.stack.consulUrl,
      OPERATOR_TOKEN: addresses.operatorToken,
      ...(addresses.adminToken ? { ADMIN_TOKEN: addresses.adminToken } : {}),
      SERVICE_KEYS: addresses.keysFolder,
      ...operator,
    };
    for (const [name, value] of Object.entries(variables)) console.log(`export ${name}=${quoted(value)}`);
    for (const { name, pid } of pids) console.log(`export ${name.toUpperCase().replaceAll('-', '_')}_PID=${pid}`);
    return;
  }
  if (json) {
    console.log(JSON.stringify(addresses));
    return;
  }
  const [first, ...others] = addresses.proxyUrls;
  console.log(`\nshop, through the proxies   ${first}/api/products`);
  for (const url of others) console.log(`                            ${url}/api/products`);
  for (const url of addresses.proxyAdminUrls) console.log(`proxy administration        ${url}`);
  console.log(`monolith                    ${addresses.monolithUrl}`);
  for (const url of addresses.catalogUrls) console.log(`catalog                     ${url}`);
  const [admin] = addresses.proxyAdminUrls;
  console.log(`Consul                      ${addresses.stack.consulUrl}`);
  if (admin !== undefined) {
    const token = addresses.adminToken;
    console.log(`\ndashboard                   ${admin}/dashboard/`);
    if (token) {
      console.log(`sign in with the token      ${token}`);
      console.log(`or open                     ${admin}/dashboard/#token=${token}`);
    }
  }
  console.log(`\nnpm run strangler -- --help moves slices; npm stop takes everything down`);
}

async function main(): Promise<number> {
  if (args.includes('--help')) {
    console.log(usage);
    return 0;
  }
  const strange = args.find((arg) => !known.has(arg));
  const fault =
    strange !== undefined
      ? `no such option: ${strange}`
      : !/^\d+$/.test(size)
        ? `--size takes a number of products, found ${JSON.stringify(size)}`
        : !isStage(stage)
          ? `--stage takes ${startStages.join(', ')}, found ${JSON.stringify(stage)}`
          : undefined;
  if (fault !== undefined || !isStage(stage)) {
    tell(fault ?? '');
    tell(usage);
    return 2;
  }
  const { instance } = stackSettings();
  const running = findSystem(instance);
  if (running?.complete && !fresh) {
    tell(`it runs already (instance ${instance})`);
    if (stageAt >= 0) {
      const { bringToStage } = await import('./stage.ts');
      const logFile = join(stackHome().instance(instance), 'system', 'stage.log');
      await bringToStage(stage, { operator: operatorEnvironment(running.addresses), say: tell, logFile });
    }
    show(
      running.addresses,
      running.processes.map(({ name, identity }) => ({ name, pid: identity.pid })),
    );
    return 0;
  }
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      tell('interrupted; taking down what was started');
      controller.abort(new Error(`ended by ${signal}`));
    });
  }
  // Only who starts one loads what that takes: pages of the documentation ask a running one for its addresses again and again.
  const { startSystem } = await import('./system.ts');
  const system = await startSystem({
    instance,
    fresh,
    stage,
    seedSize: Number(size),
    dashboard: true,
    ports: 'default',
    log: tell,
    signal: controller.signal,
  });
  show(system.addresses, system.processes);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  tell(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
