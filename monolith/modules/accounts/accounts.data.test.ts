import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { startTestShop, type TestShop } from '../../testing/shop.ts';
import type { TokensView } from './session-service.ts';

const PASSWORD = 'a long enough password';

let shop: TestShop;
let serial = 0;

const register = async () => {
  const email = `someone${++serial}@shop.example`;
  const { status, body } = await shop.client.post('/api/accounts', {
    email,
    password: PASSWORD,
    display_name: 'Someone',
  });
  expect(status).toBe(201);
  return { email, id: body.id as number };
};

const logIn = async (email: string, password = PASSWORD): Promise<TokensView> => {
  const { status, body } = await shop.client.post<TokensView>('/api/sessions', { email, password });
  expect(status).toBe(201);
  return body;
};

const refresh = (token: string) => shop.client.post<TokensView>('/api/sessions/refresh', { refresh_token: token });

beforeAll(async () => {
  shop = await startTestShop('accounts');
});

afterAll(() => shop?.stop());

describe('registering', () => {
  test('an e-mail address has one account, however it is written', async () => {
    const { email } = await register();
    const again = await shop.client.post('/api/accounts', {
      email: `  ${email.toUpperCase()} `,
      password: PASSWORD,
      display_name: 'Again',
    });
    expect(again.status).toBe(409);
  });

  test('nobody makes himself an admin', async () => {
    const fields = { email: 'admin@evil.example', password: PASSWORD, display_name: 'x', role: 'admin' };
    const { status, body } = await shop.client.post('/api/accounts', fields);
    expect(status).toBe(400);
    expect(body.errors).toEqual([{ in: 'body', path: 'role', message: 'is not known' }]);
  });

  test.each([
    ['a short password', { password: 'short' }],
    ['an address that is none', { email: 'nobody' }],
    ['a name of spaces', { display_name: '  ' }],
  ])('%s is refused', async (_what, change) => {
    const fields = { email: 'ok@shop.example', password: PASSWORD, display_name: 'x', ...change };
    expect((await shop.client.post('/api/accounts', fields)).status).toBe(400);
  });

  test('the password is nowhere in the database', async () => {
    const { id } = await register();
    const row = await shop.database.models.Account.findByPk(id, { raw: true });
    expect(JSON.stringify(row)).not.toContain(PASSWORD);
    expect(row?.password_hash).toMatch(/^\$scrypt\$ln=12,/);
  });
});

describe('logging in', () => {
  test('it gives an access token that shows who one is', async () => {
    const { email, id } = await register();
    const tokens = await logIn(` ${email.toUpperCase()}`);
    expect(tokens.expires_in).toBe(900);
    const { body } = await shop.client.as(tokens.access_token).get('/api/accounts/me');
    expect(body).toMatchObject({ id, email, display_name: 'Someone', role: 'customer' });
  });

  test('a wrong password and an unknown address have the same answer', async () => {
    const { email } = await register();
    const wrong = await shop.client.post('/api/sessions', { email, password: 'not the password' });
    const unknown = await shop.client.post('/api/sessions', { email: 'nobody@shop.example', password: PASSWORD });
    expect(wrong.status).toBe(401);
    expect(unknown.text).toBe(wrong.text);
    expect(unknown.headers.get('www-authenticate')).toBe(wrong.headers.get('www-authenticate'));
  });
});

describe('access tokens', () => {
  test('anyone can verify one with the published keys', async () => {
    const { email, id } = await register();
    const { access_token } = await logIn(email);
    const keys = createRemoteJWKSet(new URL(`${shop.url}/.well-known/jwks.json`));
    const { payload, protectedHeader } = await jwtVerify(access_token, keys, { issuer: 'shop', audience: 'shop' });
    expect(payload).toMatchObject({ sub: String(id), role: 'customer' });
    expect(protectedHeader.alg).toBe('EdDSA');
  });

  test('one that has expired, was tampered with or has no signature is refused', async () => {
    const { email } = await register();
    const { access_token } = await logIn(email);
    const [header = '', payload = '', signature = ''] = access_token.split('.');
    const forged = Buffer.from(JSON.stringify({ ...decodeJwt(access_token), role: 'admin' })).toString('base64url');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    for (const token of [`${header}.${forged}.${signature}`, `${none}.${payload}.`, `${header}.${payload}`, 'x']) {
      expect((await shop.client.as(token).get('/api/accounts/me')).status).toBe(401);
    }
    shop.clock.advance(16 * 60_000);
    const late = await shop.client.as(access_token).get('/api/accounts/me');
    expect(late.status).toBe(401);
    expect(late.headers.get('www-authenticate')).toContain('invalid_token');
  });

  test('after a rotation new tokens have the new key, and old ones still hold', async () => {
    const { email } = await register();
    const before = await logIn(email);
    const kid = await shop.deps.signingKeys.rotate();
    const after = await logIn(email);
    expect(decodeProtectedHeader(after.access_token).kid).toBe(kid);
    for (const { access_token } of [before, after]) {
      expect((await shop.client.as(access_token).get('/api/accounts/me')).status).toBe(200);
    }
    const { body } = await shop.client.get('/.well-known/jwks.json');
    expect(body.keys.map((key: { kid: string }) => key.kid)).toContain(kid);
    expect(JSON.stringify(body)).not.toContain('"d"');
  });

  test('the keys may be kept, and are asked for again by their ETag', async () => {
    const { headers } = await shop.client.get('/.well-known/jwks.json');
    expect(headers.get('cache-control')).toBe('public, max-age=300');
    const ifNoneMatch = { headers: { 'if-none-match': headers.get('etag') ?? '' } };
    expect((await shop.client.get('/.well-known/jwks.json', ifNoneMatch)).status).toBe(304);
  });
});

test.each(['as it is', 'on one line'])('a configured key signs, and none is made: %s', async (form) => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const own = await startTestShop('own_key', {
    JWT_PRIVATE_KEY: form === 'on one line' ? pem.replaceAll('\n', '\\n') : pem,
  });
  try {
    const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
    expect((await own.client.get('/.well-known/jwks.json')).body.keys).toMatchObject([{ x }]);
    const { client } = await own.account('customer');
    expect((await client.get('/api/accounts/me')).status).toBe(200);
    expect(await own.database.models.SigningKey.count()).toBe(0);
  } finally {
    await own.stop();
  }
});

describe('refresh tokens', () => {
  test('each is exchanged once, for one that goes on', async () => {
    const { email } = await register();
    const first = await logIn(email);
    const second = await refresh(first.refresh_token);
    expect(second.status).toBe(200);
    expect(second.body.refresh_token).not.toBe(first.refresh_token);
    expect((await refresh(second.body.refresh_token)).status).toBe(200);
  });

  test('using one again ends the session for everybody who has a part of it', async () => {
    const { email } = await register();
    const other = await logIn(email);
    const first = await logIn(email);
    const second = await refresh(first.refresh_token);
    expect((await refresh(first.refresh_token)).status).toBe(401);
    expect((await refresh(second.body.refresh_token)).status).toBe(401);
    expect((await refresh(other.refresh_token)).status).toBe(200);
  });

  test('of many exchanges of one token at once at most one is answered, and the session is over', async () => {
    const { email } = await register();
    const { refresh_token } = await logIn(email);
    const answers = await Promise.all(Array.from({ length: 6 }, () => refresh(refresh_token)));
    const given = answers.filter((answer) => answer.status === 200);
    expect(given).toHaveLength(1);
    expect((await refresh(given[0]?.body.refresh_token ?? '')).status).toBe(401);
  });

  test('logging out makes it worthless', async () => {
    const { email } = await register();
    const tokens = await logIn(email);
    expect((await shop.client.as(tokens.access_token).delete('/api/sessions')).status).toBe(204);
    expect((await refresh(tokens.refresh_token)).status).toBe(401);
  });

  test('one that has expired, or never was, is refused; the expired are deleted', async () => {
    const { email } = await register();
    const { refresh_token } = await logIn(email);
    expect((await refresh('made up')).status).toBe(401);
    shop.clock.advance(31 * 24 * 3_600_000);
    expect((await refresh(refresh_token)).status).toBe(401);
  });

  test('none of them is in the database as it was given', async () => {
    const { email } = await register();
    const { refresh_token } = await logIn(email);
    const rows = await shop.database.models.RefreshToken.findAll({ raw: true });
    expect(JSON.stringify(rows)).not.toContain(refresh_token);
  });
});

describe("one's own account", () => {
  test('the name can be changed, and reviews show it', async () => {
    const { email } = await register();
    const client = shop.client.as((await logIn(email)).access_token);
    expect((await client.patch('/api/accounts/me', { display_name: ' New  name ' })).body.display_name).toBe(
      'New name',
    );
    expect((await client.get('/api/accounts/me')).body.display_name).toBe('New name');
  });

  test('a new password needs the old one, and ends every session', async () => {
    const { email } = await register();
    const tokens = await logIn(email);
    const client = shop.client.as(tokens.access_token);
    const next = 'quite another password';
    expect((await client.patch('/api/accounts/me', { password: next })).status).toBe(400);
    expect((await client.patch('/api/accounts/me', { password: next, current_password: 'x' })).status).toBe(403);
    expect((await client.patch('/api/accounts/me', { password: next, current_password: PASSWORD })).status).toBe(200);
    expect((await refresh(tokens.refresh_token)).status).toBe(401);
    expect((await shop.client.post('/api/sessions', { email, password: PASSWORD })).status).toBe(401);
    await logIn(email, next);
  });

  test('nothing of it is stored by caches', async () => {
    const { client } = await shop.account('customer');
    expect((await client.get('/api/accounts/me')).headers.get('cache-control')).toBe('no-store');
  });
});
