import type { Log } from '@strangler/platform/log.ts';
import { z } from 'zod';
import type { Clock } from '../../clock.ts';
import type { Redis } from '../module.ts';
import type { SettingsModels } from './models.ts';

/** A setting as the API shows it. */
export type SettingView = { key: string; value: unknown; updated_at: string };

export type SettingsService = {
  /** All settings, by key. */
  all(): Promise<SettingView[]>;
  put(setting: { key: string; value: unknown; accountId: number }): Promise<SettingView>;
};

const CACHE_KEY = 'settings';
const GENERATION_KEY = 'settings:generation';

/** Bounds how long a change stays unseen whose writer could not reach Redis. */
const CACHE_SECONDS = 30;

/** Stores what was read only if nobody has written since before the reading began. */
const STORE_IF_CURRENT = `
  if (redis.call('GET', KEYS[2]) or '0') == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
  end`;

const cachedSettings = z.array(z.object({ key: z.string(), value: z.unknown(), updated_at: z.string() }));

/** Settings live in the database; Redis keeps a copy of all of them, and everything works without it. */
export function createSettingsService({
  models: { Setting },
  redis,
  clock,
  log,
}: {
  models: SettingsModels;
  redis: Redis | undefined;
  clock: Clock;
  log: Log;
}): SettingsService {
  const fromCache = async (): Promise<SettingView[] | undefined> => {
    const text = await redis?.run((client) => client.get(CACHE_KEY));
    if (typeof text !== 'string') return undefined;
    const parsed = cachedSettings.safeParse(parseJson(text));
    if (parsed.success) return parsed.data as SettingView[];
    log.warn({ key: CACHE_KEY }, 'the cached settings do not parse and are ignored');
    return undefined;
  };

  const fromDatabase = async (): Promise<SettingView[]> => {
    const rows = await Setting.findAll({ order: ['key'], raw: true });
    return rows.map((row) => ({
      key: row.key,
      value: JSON.parse(row.value),
      updated_at: row.updated_at.toISOString(),
    }));
  };

  /** Reads the database and leaves a copy in Redis. */
  const load = async (): Promise<SettingView[]> => {
    const generation = (await redis?.run((client) => client.get(GENERATION_KEY))) ?? '0';
    const settings = await fromDatabase();
    await redis?.run((client) =>
      client.eval(STORE_IF_CURRENT, {
        keys: [CACHE_KEY, GENERATION_KEY],
        arguments: [String(generation), JSON.stringify(settings), String(CACHE_SECONDS)],
      }),
    );
    return settings;
  };

  return {
    all: async () => (await fromCache()) ?? load(),

    async put({ key, value, accountId }) {
      const now = clock.now();
      await Setting.upsert({ key, value: JSON.stringify(value), updated_at: now, updated_by: accountId });
      await redis?.run((client) => client.multi().incr(GENERATION_KEY).del(CACHE_KEY).exec());
      if (redis) await load();
      return { key, value, updated_at: now.toISOString() };
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
