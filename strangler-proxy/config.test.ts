import { describe, expect, test } from '@jest/globals';
import { CommandLineError, environmentWithArguments, readConfig, usage } from './config.ts';

const monolith = { MONOLITH_URL: 'http://127.0.0.1:3000' };

describe("the proxy's configuration", () => {
  test('needs nothing but the monolith, and binds to loopback', () => {
    expect(readConfig(monolith)).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      adminHost: '127.0.0.1',
      adminPort: 8081,
      workers: 1,
      monolithOrigins: ['http://127.0.0.1:3000'],
      slicesDirectory: null,
      flagStore: null,
      consulUrl: null,
    });
  });

  test('names every bad variable at once', () => {
    const bad = {
      MONOLITH_URL: 'http://127.0.0.1:3000/shop',
      PORT: '70000',
      WORKERS: 'many',
      SERVICES: 'catalog',
      CONNECT_TIMEOUT: 'soon',
      OPERATOR_TOKEN: 'short',
    };
    const attempt = () => readConfig(bad);
    for (const name of Object.keys(bad)) expect(attempt).toThrow(name);
    expect(attempt).not.toThrow('short,');
  });

  test('takes Consul for services from the flag store’s address, unless another is told', () => {
    const flags = { ...monolith, STRANGLER_FLAGS: 'consul://127.0.0.1:8500/team' };
    expect(readConfig(flags)).toMatchObject({
      consulUrl: 'http://127.0.0.1:8500',
      flagStore: 'consul://127.0.0.1:8500/team',
    });
    expect(readConfig({ ...flags, CONSUL_URL: 'http://127.0.0.1:9500' }).consulUrl).toBe('http://127.0.0.1:9500');
    expect(readConfig({ ...monolith, CONSUL_URL: 'http://127.0.0.1:8500' }).flagStore).toBe('consul://127.0.0.1:8500');
    expect(readConfig({ ...monolith, STRANGLER_FLAGS: 'file://flags.json' }).consulUrl).toBeNull();
  });

  test('lets nobody read behind their own write unless told so', () => {
    expect(readConfig(monolith).readYourWritesMs).toBe(5_000);
    expect(readConfig({ ...monolith, READ_YOUR_WRITES: '0' }).readYourWritesMs).toBe(0);
    expect(() => readConfig({ ...monolith, READ_YOUR_WRITES: '2h' })).toThrow('READ_YOUR_WRITES');
  });

  test('several monoliths are told apart by commas, services by semicolons', () => {
    const config = readConfig({
      MONOLITH_URL: 'http://127.0.0.1:1, http://127.0.0.1:2',
      SERVICES: 'a=http://127.0.0.1:3; b=http://127.0.0.1:4',
    });
    expect(config.monolithOrigins).toEqual(['http://127.0.0.1:1', 'http://127.0.0.1:2']);
    expect([...(config.staticInstances?.keys() ?? [])]).toEqual(['a', 'b']);
  });
});

describe("the proxy's command line", () => {
  test('stands above the environment', () => {
    const told = environmentWithArguments(['--port', '9000', '--monolith=http://127.0.0.1:1'], {
      PORT: '8000',
      HOST: '127.0.0.2',
    });
    expect(told).toMatchObject({
      kind: 'environment',
      env: { PORT: '9000', HOST: '127.0.0.2', MONOLITH_URL: 'http://127.0.0.1:1' },
    });
  });

  test.each([[['--prot', '9000']], [['--port']], [['extra']]])('refuses %j in one line', (words) => {
    expect(() => environmentWithArguments(words, {})).toThrow(CommandLineError);
    try {
      environmentWithArguments(words, {});
    } catch (error) {
      expect((error as Error).message.split('\n')).toHaveLength(1);
    }
  });

  test('--help names every option there is', () => {
    expect(environmentWithArguments(['--help'], {})).toEqual({ kind: 'help' });
    const options = [...usage.matchAll(/--([a-z-]+)/g)].map((match) => match[1]!);
    for (const option of options.filter((one) => one !== 'help')) {
      expect(() => environmentWithArguments([`--${option}`, 'x'], {})).not.toThrow();
    }
  });
});
