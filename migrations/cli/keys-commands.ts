import { formatDurationMs } from '@strangler/platform/config.ts';
import { serviceTokenHeader } from '@strangler/platform/contracts/headers.ts';
import { defaultSkewMs, mostTokenLifeMs } from '@strangler/platform/service-trust/claims.ts';
import { type KeyFolder, openKeyFolder } from '@strangler/platform/service-trust/key-folder.ts';
import { serviceName } from '@strangler/platform/service-trust/names.ts';
import type { RotationOutcome, RotationStep } from '@strangler/platform/service-trust/rotation.ts';
import { TrustFileError } from '@strangler/platform/service-trust/trust-bundle.ts';
import type { Command } from 'commander';
import { CliError, exitCodes } from './exit-codes.ts';
import { timeSpanMs } from './option-values.ts';
import { formatTable } from './table.ts';
import type { Terminal } from './terminal.ts';

type FolderOptions = { dir?: string };
type StepOptions = FolderOptions & { settle: string; tokenLife: string; now?: boolean };

const tokenLifeMs = 60_000;

/** `strangler keys`: the keys by which services know each other. */
export const addKeysCommands = (program: Command, terminal: Terminal): void => {
  const keys = program.command('keys').description('make and change the keys by which services know each other');
  const withFolder = (command: Command): Command =>
    command.option('--dir <folder>', 'where all keys are made (default: $SERVICE_KEYS)');

  withFolder(keys.command('init <service>'))
    .description("make a service's first key, and say which services it may call; one that has a key keeps it")
    .requiredOption('--calls <services>', 'names of services, separated by commas; "" for none')
    .action((service: string, options: FolderOptions & { calls: string }) =>
      onFolder(options, terminal, service, async (folder) => {
        const audiences = options.calls.split(',').flatMap((name) => (name.trim() === '' ? [] : [nameOf(name.trim())]));
        const outcome = await folder.init(service, audiences);
        const key = (await folder.ring(service)).signing.kid;
        terminal.out(
          `${service}: ${outcome === 'made' ? 'made' : 'kept'} key ${key}, may call ${audiences.join(', ') || 'nobody'}`,
        );
        terminal.out(`SERVICE_KEY_FILE=${folder.keyFile(service)}\nSERVICE_TRUST_FILE=${folder.trustFile}`);
      }),
    );

  withFolder(keys.command('rotate <service>'))
    .description('do the next step to a new key: publish it; then, when it has reached every process, sign with it')
    .option('--settle <time>', 'how long a change of the files may take to reach every process', '60s')
    .option('--now', 'wait for nothing, because the key is in the wrong hands')
    .action((service: string, options: StepOptions) =>
      onFolder(options, terminal, service, async (folder) => {
        tell(service, await folder.rotate(service, { settleMs: settleOf(options) }), terminal);
      }),
    );

  withFolder(keys.command('retire <service>'))
    .description('take the old key out of the trust file, when no token of it can be alive')
    .option('--settle <time>', 'how long a change of the files may take to reach every process', '60s')
    .option('--token-life <time>', 'the longest life of a token, SERVICE_TOKEN_TTL', formatDurationMs(mostTokenLifeMs))
    .option('--now', 'wait for nothing, because the key is in the wrong hands')
    .action((service: string, options: StepOptions) =>
      onFolder(options, terminal, service, async (folder) => {
        const lifeMs = options.now ? 0 : timeSpanMs('--token-life', options.tokenLife) + defaultSkewMs;
        tell(service, await folder.retire(service, { settleMs: settleOf(options), tokenLifeMs: lifeMs }), terminal);
      }),
    );

  withFolder(keys.command('show'))
    .description('list who may call whom, and with which keys')
    .option('--json', 'print JSON')
    .action((options: FolderOptions & { json?: boolean }) =>
      onFolder(options, terminal, undefined, async (folder) => {
        const { callers } = await folder.trust();
        if (options.json) return terminal.out(JSON.stringify(callers));
        const rows = Object.entries(callers).flatMap(([caller, { audiences, keys: published }]) =>
          published.map(({ kid, published_at: at }) => [caller, audiences.join(' ') || '-', kid, at]),
        );
        terminal.out(formatTable(['CALLER', 'MAY CALL', 'KEY', 'PUBLISHED'], rows));
      }),
    );

  withFolder(keys.command('token <service>'))
    .description(
      `print the ${serviceTokenHeader} header in the name of a service, good for ${formatDurationMs(tokenLifeMs)}`,
    )
    .requiredOption('--to <service>', 'the service that is called')
    .action((service: string, options: FolderOptions & { to: string }) =>
      onFolder(options, terminal, service, async (folder) => {
        const ring = await folder.ring(service);
        const { createServiceTokens } = await import('@strangler/platform/service-trust/service-tokens.ts');
        const token = await createServiceTokens({ ring: () => ring, lifeMs: tokenLifeMs }).tokenFor(nameOf(options.to));
        terminal.out(`${serviceTokenHeader}: ${token}`);
      }),
    );
};

const settleOf = ({ settle, now }: StepOptions): number => (now ? 0 : timeSpanMs('--settle', settle));

const nextSteps: Record<RotationStep, (service: string, kid: string) => string> = {
  published: (service, kid) =>
    `${service}: key ${kid} is published, and the old one signs; next: strangler keys rotate ${service}`,
  signing: (service, kid) =>
    `${service}: key ${kid} signs, and the old one is still accepted; next: strangler keys retire ${service}`,
  retired: (service, kid) => `${service}: key ${kid} is no longer accepted`,
};

const tell = (service: string, outcome: RotationOutcome, terminal: Terminal): void => {
  if (outcome.kind === 'done') {
    terminal.out(nextSteps[outcome.step](service, outcome.kid));
    return;
  }
  const { reason, waitMs } = outcome;
  const next = waitMs > 0 ? `try again in ${Math.ceil(waitMs / 1_000)} s` : 'look at: strangler keys show';
  throw new CliError(`${service}: ${reason}, and nothing was changed; ${next}`, exitCodes.refused);
};

const onFolder = async (
  { dir }: FolderOptions,
  { environment }: Terminal,
  service: string | undefined,
  work: (folder: KeyFolder) => Promise<void>,
): Promise<void> => {
  const folder = dir ?? environment.SERVICE_KEYS;
  if (folder === undefined || folder === '')
    throw new CliError(
      '--dir: expected the folder in which keys are made, found none; or set SERVICE_KEYS',
      exitCodes.usage,
    );
  if (service !== undefined) nameOf(service);
  try {
    await work(openKeyFolder(folder));
  } catch (error) {
    if (error instanceof TrustFileError) throw new CliError(error.message);
    const { code, path } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT')
      throw new CliError(
        `${path}: expected a file, found none; make it with: strangler keys init <service> --calls … --dir ${folder}`,
      );
    throw error;
  }
};

/** @throws CliError for what cannot be a service's name, and so no folder's. */
const nameOf = (text: string): string => {
  if (serviceName.safeParse(text).success) return text;
  throw new CliError(
    `expected the name of a service, of lower-case letters, digits and hyphens; found ${JSON.stringify(text)}`,
    exitCodes.usage,
  );
};
