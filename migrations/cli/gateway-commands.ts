import { canBeApiKey, hashApiKey, newApiKey } from '@strangler/platform/api-keys.ts';
import type { Command } from 'commander';
import { CliError, exitCodes } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

/** `strangler gateway key`: the API keys of the proxy's gateway, which only their owners have. */
export const addGatewayCommands = (program: Command, terminal: Terminal): void => {
  const gateway = program.command('gateway').description("what the proxy's gateway needs");
  const key = gateway.command('key').description('make API keys for the key file of a policy of kind api-keys');

  key
    .command('new <name>')
    .description('print a new key, which is nowhere kept, and the line for the key file, which does not tell it')
    .action((name: string) => {
      const made = newApiKey();
      terminal.out(`${made}\n\n  - { name: ${nameOf(name)}, sha256: ${hashApiKey(made).toString('hex')} }`);
    });

  key
    .command('hash <name>')
    .description('print the line for the key file of a key that there is already, taken from $API_KEY')
    .action((name: string) => {
      const given = terminal.environment.API_KEY ?? '';
      if (!canBeApiKey(given)) {
        throw new CliError(
          'API_KEY: expected a key of 22 visible characters or more, as 128 random bits have in base64url; found a value that is not shown; ' +
            `make one with: strangler gateway key new ${name}`,
          exitCodes.usage,
        );
      }
      terminal.out(`  - { name: ${nameOf(name)}, sha256: ${hashApiKey(given).toString('hex')} }`);
    });
};

/** @throws CliError for what a key file would not take. */
const nameOf = (text: string): string => {
  if (/^[a-z][a-z0-9-]{0,63}$/.test(text)) return text;
  throw new CliError(
    `expected a name of 1 to 64 lower-case letters, digits and hyphens, starting with a letter; found ${JSON.stringify(text)}`,
    exitCodes.usage,
  );
};
