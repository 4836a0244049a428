import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { repositoryRoot } from '../../stack/home/paths.ts';

/** Prints the packages of which something is loaded with a module, before anything in it is called. */
const tellPackages = (file: string): string => `
  import { registerHooks } from 'node:module';
  const packages = new Set();
  registerHooks({
    load(url, context, next) {
      const [, name] = /.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url) ?? [];
      if (name !== undefined) packages.add(name);
      return next(url, context);
    },
  });
  await import(${JSON.stringify(join(repositoryRoot, file))});
  process.stdout.write(JSON.stringify([...packages]));
`;

const packagesOf = async (file: string): Promise<string[]> => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '--eval', tellPackages(file)],
    { env: programEnvironment(), timeout: 60_000 },
  );
  return JSON.parse(stdout) as string[];
};

test.each([
  ['strangler-proxy/workers/worker.ts', ['prom-client'], ['@redis/client', '@grpc/grpc-js', 'jose', 'express']],
  [
    'strangler-proxy/workers/primary.ts',
    ['express'],
    ['@redis/client', '@grpc/grpc-js', 'jose', 'http-proxy-middleware'],
  ],
  ['monolith/shop.ts', ['sequelize'], ['@redis/client', '@grpc/grpc-js', 'undici', 'yaml']],
  ['migrations/cli/program.ts', ['commander'], ['zod', 'mysql2', 'amqplib', 'prom-client']],
])('%s loads %j at once, and what only some settings need when they need it', async (file, expected, unwanted) => {
  const packages = await packagesOf(file);
  expect(packages).toEqual(expect.arrayContaining(expected));
  expect(packages.filter((name) => unwanted.includes(name))).toEqual([]);
});
