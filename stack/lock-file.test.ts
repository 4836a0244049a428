import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { repositoryRoot } from './home/paths.ts';
import { missingOptional, platformOf } from './lock-file.mjs';

test('package-lock.json names every optional build, so that npm ci takes it on any system and with any registry', () => {
  const lockFile = JSON.parse(readFileSync(join(repositoryRoot, 'package-lock.json'), 'utf8')) as { packages: object };
  // If not: node stack/lock-file.mjs adds what is missing.
  expect(Object.keys(missingOptional(lockFile))).toEqual([]);
});

test('a missing build is added with the version its package asks for and the platform its name tells', () => {
  const packages = {
    '': {},
    'node_modules/a': {
      version: '1.0.0',
      optionalDependencies: { '@x/a-darwin-arm64': '1.2.3', '@x/a-linux-x64-musl': '1.2.3' },
    },
    'node_modules/@x/a-darwin-arm64': { version: '1.2.3' },
  };
  expect(missingOptional({ packages })).toEqual({
    'node_modules/@x/a-linux-x64-musl': {
      version: '1.2.3',
      optional: true,
      os: ['linux'],
      cpu: ['x64'],
      libc: ['musl'],
    },
  });
});

test('a build that lies beside its package, not at the top, is not missing', () => {
  const packages = {
    'node_modules/b/node_modules/a': { optionalDependencies: { 'a-win32-x64': '1.0.0' } },
    'node_modules/b/node_modules/a-win32-x64': {},
  };
  expect(missingOptional({ packages })).toEqual({});
});

test.each([
  ['@swc/core-linux-arm-gnueabihf', { os: ['linux'], cpu: ['arm'], libc: ['glibc'] }],
  ['@unrs/resolver-binding-linux-arm-musleabihf', { os: ['linux'], cpu: ['arm'], libc: ['musl'] }],
  ['@biomejs/cli-win32-arm64', { os: ['win32'], cpu: ['arm64'] }],
])('%s is for %j', (name, platform) => {
  expect(platformOf(name)).toEqual(platform);
});
