import { describe, expect, test } from '@jest/globals';
import { ConfigError } from '@strangler/platform/config.ts';
import { inventoryConfig } from './config.ts';

const DATABASE_URL = 'mysql://inventory:secret@127.0.0.1:3306/inventory';

describe('the configuration', () => {
  test('needs a database and nothing else', () => {
    expect(inventoryConfig({ DATABASE_URL })).toMatchObject({
      port: 3102,
      grpcPort: 3202,
      slice: 'inventory',
      expiryQueue: 'inventory.expiry',
      mostTtlMs: 1_800_000,
      sweepEveryMs: 10_000,
      rabbitmqUrl: undefined,
      flags: undefined,
      database: { url: DATABASE_URL, lockWaitSeconds: 3 },
    });
  });

  test('names every variable that is wrong, at once, and repeats no password', () => {
    const wrong = { DATABASE_URL: 'postgres://u:secret@h/d', SWEEP_EVERY: '1ms', EXPIRY_QUEUE: 'no spaces', PORT: 'x' };
    const refused = () => inventoryConfig(wrong);
    expect(refused).toThrow(ConfigError);
    for (const name of Object.keys(wrong)) expect(refused).toThrow(name);
    expect(refused).not.toThrow(/secret/);
  });

  test('rounds the wait for locks up to whole seconds, which is all that the server knows', () => {
    expect(inventoryConfig({ DATABASE_URL, LOCK_WAIT: '1500ms' }).database.lockWaitSeconds).toBe(2);
  });
});
