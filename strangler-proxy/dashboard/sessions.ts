import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { type Person, roles } from './roles.ts';

export type SessionsOptions = {
  /** How long one lasts, in milliseconds. */
  lastsMs: number;
  nowMs?: () => number;
  /** Default: made up, so that a restart of the proxy ends every session. */
  key?: Buffer;
};

export type Session = Person & { untilMs: number };

const content = z.strictObject({ name: z.string(), role: z.enum(roles), untilMs: z.number() });

/** Sessions that stand in a signed cookie and nowhere else. */
export type Sessions = {
  open(person: Person): { value: string; session: Session };
  /** Undefined for a value that was not signed here, or is over. */
  read(value: string): Session | undefined;
};

export const createSessions = ({ lastsMs, nowMs = Date.now, key = randomBytes(32) }: SessionsOptions): Sessions => {
  const sign = (text: string): Buffer => createHmac('sha256', key).update(text).digest();
  return {
    open({ name, role }) {
      const session = { name, role, untilMs: nowMs() + lastsMs };
      const text = Buffer.from(JSON.stringify(session)).toString('base64url');
      return { value: `${text}.${sign(text).toString('base64url')}`, session };
    },
    read(value) {
      const [text, signature, ...more] = value.split('.');
      if (text === undefined || signature === undefined || more.length > 0) return undefined;
      const given = Buffer.from(signature, 'base64url');
      const expected = sign(text);
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
      const parsed = content.safeParse(JSON.parse(Buffer.from(text, 'base64url').toString('utf8')));
      return parsed.success && parsed.data.untilMs > nowMs() ? parsed.data : undefined;
    },
  };
};
