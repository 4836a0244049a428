import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { serverNames } from '../addresses.ts';
import { repositoryRoot } from '../home/paths.ts';
import {
  composeEnvironment,
  composeService,
  type DockerStack,
  dockerAddress,
  downCommand,
  publishedPorts,
  serviceCommand,
  upCommand,
} from './docker.ts';

const stack: DockerStack = {
  instance: 'dev',
  engine: 'mysql',
  ports: {
    'mysql.main': 21001,
    'rabbitmq.main': 21002,
    'rabbitmq.management': 21003,
    'redis.main': 21004,
    'consul.main': 21005,
  },
  secret: 's3cret',
};
const file = join(repositoryRoot, 'docker-compose.yml');

describe('the command line for Docker', () => {
  test('starts the servers in a project of the instance, and none of the processes', () => {
    expect(upCommand(stack, serverNames)).toMatchObject({
      file: 'docker',
      args: [
        'compose',
        '--project-name',
        'strangler-dev',
        '--file',
        file,
        '--profile',
        'mysql',
        'up',
        '--detach',
        '--no-build',
        'mysql',
        'rabbitmq',
        'redis',
        'consul',
      ],
    });
  });

  test('starts MariaDB where that is wanted, and only the servers that are', () => {
    expect(upCommand({ ...stack, engine: 'mariadb' }, ['mysql', 'redis']).args.slice(-7)).toEqual([
      '--profile',
      'mariadb',
      'up',
      '--detach',
      '--no-build',
      'mariadb',
      'redis',
    ]);
  });

  test('ends the project, with its data only when told to', () => {
    expect(downCommand(stack, { withData: false }).args.slice(5)).toEqual([
      '--profile',
      '*',
      'down',
      '--remove-orphans',
    ]);
    expect(downCommand(stack, { withData: true }).args.at(-1)).toBe('--volumes');
  });

  test('kills, stops and starts one server', () => {
    expect(serviceCommand(stack, 'kill', 'mysql').args.slice(-2)).toEqual(['kill', 'mysql']);
    expect(serviceCommand({ ...stack, engine: 'mariadb' }, 'start', 'mysql').args.slice(-2)).toEqual([
      'start',
      'mariadb',
    ]);
    expect(serviceCommand(stack, 'logs', 'redis').args.slice(-4)).toEqual(['--no-color', '--tail', '200', 'redis']);
  });

  test('passes ports and password as the compose file reads them', () => {
    const compose = readFileSync(file, 'utf8');
    for (const variable of Object.keys(composeEnvironment(stack))) expect(compose).toContain(`\${${variable}:-`);
    expect(composeEnvironment(stack)).toMatchObject({
      STACK_RABBITMQ_MANAGEMENT_PORT: '21003',
      STACK_PASSWORD: 's3cret',
    });
  });
});

test('every server is a service of the compose file, published as often as it has ports here', () => {
  const { services } = parse(readFileSync(file, 'utf8'), { merge: true, maxAliasCount: -1 }) as {
    services: Record<string, { ports?: string[] }>;
  };
  for (const name of serverNames) {
    for (const engine of ['mysql', 'mariadb'] as const) {
      expect(services[composeService(name, engine)]?.ports).toHaveLength(publishedPorts[name].length);
    }
  }
});

test('addresses carry the account that the images make', () => {
  expect(dockerAddress('mysql', { main: 1 }, 'x').url).toBe('mysql://root:x@127.0.0.1:1/');
  expect(dockerAddress('rabbitmq', { main: 1, management: 2 }, 'x')).toEqual({
    url: 'amqp://stack:x@127.0.0.1:1',
    managementUrl: 'http://127.0.0.1:2',
  });
});
