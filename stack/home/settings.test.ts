import { describe, expect, test } from '@jest/globals';
import { stackSettings } from './settings.ts';

describe('the settings', () => {
  test('of an empty environment are the development instance with MySQL, from wherever it can be had', () => {
    expect(stackSettings({})).toMatchObject({
      instance: 'dev',
      engine: { name: 'mysql', explicit: false },
      sources: ['environment', 'docker', 'machine', 'packages'],
      urls: {},
      ports: {},
      flushLogAtCommit: 1,
    });
  });

  test('know an engine that was asked for by name', () => {
    expect(stackSettings({ STACK_DB: 'mysql' }).engine).toEqual({ name: 'mysql', explicit: true });
    expect(stackSettings({ STACK_DB: 'mariadb' }).engine).toEqual({ name: 'mariadb', explicit: true });
  });

  test('take URLs and ports by server', () => {
    const settings = stackSettings({
      STACK_MYSQL_URL: 'mysql://root:x@127.0.0.1:3306/',
      STACK_CONSUL_PORT: '8500',
      STACK_SOURCES: 'machine, packages',
    });
    expect(settings.urls).toEqual({ mysql: 'mysql://root:x@127.0.0.1:3306/' });
    expect(settings.ports).toEqual({ consul: 8500 });
    expect(settings.sources).toEqual(['machine', 'packages']);
  });

  test('that are wrong are named all at once, and a URL is not repeated', () => {
    const wrong = {
      STACK_INSTANCE: '../x',
      STACK_DB: 'postgres',
      STACK_REDIS_URL: 'http://:hunter2@127.0.0.1',
      STACK_MYSQL_PORT: '70000',
      STACK_SOURCES: 'cloud',
      STACK_FLUSH_LOG_AT_COMMIT: '3',
      STACK_READY_WITHIN_MS: 'soon',
    };
    let message = '';
    try {
      stackSettings(wrong);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(Object.keys(wrong).filter((name) => !message.includes(name))).toEqual([]);
    expect(message).not.toContain('hunter2');
  });
});
