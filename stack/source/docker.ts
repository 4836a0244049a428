import { join } from 'node:path';
import type { Engine, ServerName, ServerRecord } from '../addresses.ts';
import { repositoryRoot } from '../home/paths.ts';
import { type Command, type CommandResult, runCommand } from '../process/run.ts';

/** The infrastructure part of docker-compose.yml, in a project of the instance's own. */
export type DockerStack = { instance: string; engine: Engine; ports: Record<string, number>; secret: string };

/** How long the engine may take to say that it is there. */
const ANSWER_TIMEOUT_MS = 5_000;
const UP_TIMEOUT_MS = 600_000;

/** Ports inside the network of containers, by server and purpose; the compose file's service has the same. */
export const publishedPorts: Record<ServerName, readonly string[]> = {
  mysql: ['main'],
  rabbitmq: ['main', 'management'],
  redis: ['main'],
  consul: ['main'],
};

/** The compose file's service that is the server. */
export function composeService(name: ServerName, engine: Engine): string {
  return name === 'mysql' ? engine : name;
}

/** Everything the compose file reads from the environment for its infrastructure. Ports are by `SERVER.PURPOSE`. */
export function composeEnvironment({ ports, secret }: DockerStack): Record<string, string> {
  const environment: Record<string, string> = { STACK_PASSWORD: secret };
  for (const [key, port] of Object.entries(ports)) {
    const [name = '', purpose = 'main'] = key.split('.');
    const suffix = purpose === 'main' ? 'PORT' : `${purpose.toUpperCase()}_PORT`;
    environment[`STACK_${name.toUpperCase()}_${suffix}`] = String(port);
  }
  return environment;
}

/** `docker compose …` for this instance: its own project, so that two instances and a deployment never meet. */
export function composeCommand(stack: DockerStack, ...args: string[]): Command {
  return {
    file: 'docker',
    args: [
      'compose',
      '--project-name',
      `strangler-${stack.instance}`,
      '--file',
      join(repositoryRoot, 'docker-compose.yml'),
      ...args,
    ],
    env: composeEnvironment(stack),
  };
}

/** Starts the services and what they need, and nothing else of the file. */
export function upCommand(stack: DockerStack, names: readonly ServerName[]): Command {
  const services = names.map((name) => composeService(name, stack.engine));
  return composeCommand(stack, '--profile', stack.engine, 'up', '--detach', '--no-build', ...services);
}

/** Ends the project; its volumes stay unless `withData`. */
export function downCommand(stack: DockerStack, options: { withData: boolean }): Command {
  const volumes = options.withData ? ['--volumes'] : [];
  return composeCommand(stack, '--profile', '*', 'down', '--remove-orphans', ...volumes);
}

export function serviceCommand(
  stack: DockerStack,
  action: 'stop' | 'start' | 'kill' | 'pause' | 'unpause' | 'logs',
  name: ServerName,
): Command {
  const extra = action === 'logs' ? ['--no-color', '--tail', '200'] : [];
  return composeCommand(stack, '--profile', '*', action, ...extra, composeService(name, stack.engine));
}

export function dockerAddress(
  name: ServerName,
  ports: Record<string, number>,
  secret: string,
): Pick<ServerRecord, 'url' | 'managementUrl'> {
  switch (name) {
    case 'mysql':
      return { url: `mysql://root:${secret}@127.0.0.1:${ports.main}/` };
    case 'rabbitmq':
      return {
        url: `amqp://stack:${secret}@127.0.0.1:${ports.main}`,
        managementUrl: `http://127.0.0.1:${ports.management}`,
      };
    case 'redis':
      return { url: `redis://:${secret}@127.0.0.1:${ports.main}` };
    case 'consul':
      return { url: `http://127.0.0.1:${ports.main}` };
  }
}

/** Whether a Docker engine answers and has Compose. */
export async function dockerAnswers(signal?: AbortSignal): Promise<boolean> {
  const engine = await runCommand(
    { file: 'docker', args: ['version', '--format', '{{.Server.Version}}'] },
    { timeoutMs: ANSWER_TIMEOUT_MS, signal },
  );
  if (engine.code !== 0) return false;
  const compose = await runCommand(
    { file: 'docker', args: ['compose', 'version', '--short'] },
    { timeoutMs: ANSWER_TIMEOUT_MS, signal },
  );
  return compose.code === 0;
}

/** Runs a compose command to its end; throws with the engine's last words when it fails. */
export async function runCompose(command: Command, signal?: AbortSignal): Promise<CommandResult> {
  const result = await runCommand(command, { timeoutMs: UP_TIMEOUT_MS, signal });
  signal?.throwIfAborted();
  if (result.code === 0) return result;
  const tail = `${result.stdout}\n${result.stderr}`
    .trim()
    .split('\n')
    .slice(-6)
    .map((line) => `    ${line}`);
  throw new Error(
    [`\`docker ${command.args.join(' ')}\` ended with ${result.code ?? result.signal ?? 'no start'}`, ...tail].join(
      '\n',
    ),
  );
}
