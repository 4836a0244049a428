import { tracedFetch } from '@strangler/platform/http/traced-fetch.ts';
import { z } from 'zod';

/** The Authorization header of this service itself, for what it does without a person's asking. */
export type ServiceToken = () => Promise<string>;

const TIMEOUT_MS = 3_000;
/** A token is not used in its last seconds: it has to be good when it arrives. */
const MARGIN_MS = 30_000;

const tokens = z.object({ access_token: z.string().min(1), expires_in: z.number().positive() });

/** Logs in at the shop with an account of the service's own, an administrator's, and again before the token ends. */
export function createServiceToken({
  shopUrl,
  email,
  password,
}: {
  shopUrl: string;
  email: string;
  password: string;
}): ServiceToken {
  let kept: { header: string; untilMs: number } | undefined;
  let asking: Promise<string> | undefined;

  const logIn = async (): Promise<string> => {
    const answer = await tracedFetch({ peer: 'monolith', route: '/api/sessions' }, new URL('/api/sessions', shopUrl), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email, password }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
    });
    if (answer.status !== 201) {
      await answer.body?.cancel();
      throw new Error(
        `POST /api/sessions for ${email}: expected 201, found ${answer.status}; look at SERVICE_EMAIL and SERVICE_PASSWORD`,
      );
    }
    const { access_token, expires_in } = tokens.parse(await answer.json());
    kept = { header: `Bearer ${access_token}`, untilMs: performance.now() + expires_in * 1000 - MARGIN_MS };
    return kept.header;
  };

  return async () => {
    if (kept !== undefined && performance.now() < kept.untilMs) return kept.header;
    asking ??= logIn().finally(() => {
      asking = undefined;
    });
    return asking;
  };
}
