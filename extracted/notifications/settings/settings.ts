import type { Log } from '@strangler/platform/log.ts';
import { change, select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';
import type { Clock } from '../clock.ts';

/** What an operator may change while the service runs. */
export const settingsSchema = z.strictObject({
  /** The name that mails are sent under. */
  sender_name: z
    .string()
    .trim()
    .min(1)
    .max(100)
    .regex(/^[^\p{Cc}<>"]*$/u, 'must not hold control characters, quotes or angle brackets'),
  /** `paused`: no mail goes out; what is to be sent waits. */
  email: z.enum(['on', 'paused']),
});
export type SettingValues = z.infer<typeof settingsSchema>;
export const usualSettings: SettingValues = { sender_name: 'The shop', email: 'on' };

/** The settings as this instance knows them. The database has the true ones; a broadcast says when to look. */
export type Settings = {
  now(): SettingValues;
  reload(): Promise<void>;
  /** Changes some and leaves the others; seen here at once, by other instances when they are told. */
  change(values: Partial<SettingValues>, by: string): Promise<SettingValues>;
};

export function createSettings({ pool, clock, log }: { pool: Pool; clock: Clock; log: Log }): Settings {
  let values = usualSettings;

  const reload = async (): Promise<void> => {
    const rows = await select<{ name: string; value: string }>(pool, 'SELECT name, value FROM settings');
    const stored = settingsSchema.partial().safeParse(Object.fromEntries(rows.map(({ name, value }) => [name, value])));
    if (!stored.success) {
      log.error({ err: stored.error }, 'the stored settings are not usable; going on with the last good ones');
      return;
    }
    values = { ...usualSettings, ...defined(stored.data) };
  };

  return {
    now: () => values,
    reload,
    async change(wanted, by) {
      for (const [name, value] of Object.entries(defined(wanted))) {
        await change(
          pool,
          `INSERT INTO settings (name, value, version, changed_by, changed_at) VALUES (?, ?, 1, ?, ?)
           ON DUPLICATE KEY UPDATE value = VALUES(value), version = version + 1, changed_by = VALUES(changed_by),
             changed_at = VALUES(changed_at)`,
          [name, value, by, clock.now()],
        );
      }
      await reload();
      return values;
    },
  };
}

function defined(values: Partial<SettingValues>): Partial<SettingValues> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
