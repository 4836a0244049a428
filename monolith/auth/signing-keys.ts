import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type CryptoKey, calculateJwkThumbprint, exportJWK, importPKCS8, importSPKI, type JWK } from 'jose';
import { Op, type Sequelize } from 'sequelize';
import type { Clock } from '../clock.ts';
import type { MonolithConfig } from '../config.ts';
import type { AccountsModels } from '../modules/accounts/models.ts';
import { inTransaction } from '../transaction.ts';
import type { TokenKeys } from './access-token.ts';

/** How long the keys read from the database are taken for current: a rotation is seen everywhere within this time. */
const REFRESH_MS = 30_000;

/** The least time between two readings that unknown key ids cause: forged tokens must not become database load. */
const MISS_REFRESH_MS = 1_000;

/** Longer than any access token lives. */
const KEPT_AFTER_RETIRING_MS = 24 * 3_600_000;

type LoadedKey = { kid: string; privateKey: CryptoKey; publicKey: CryptoKey; jwk: JWK; retired: boolean };

export type SigningKeys = TokenKeys & {
  /** The public keys, newest first, as a JSON Web Key Set (RFC 7517). */
  jwks(): Promise<{ keys: JWK[] }>;
  /** Makes a new key that signs from now on; the old ones still verify for a day. Returns its id. */
  rotate(): Promise<string>;
};

/**
 * Keys for access tokens. A configured key always signs. Without one, the keys in the table `signing_keys` are used, and
 * the first process that finds none makes one.
 */
export function createSigningKeys({
  sequelize,
  models: { SigningKey },
  clock,
  configuredPem,
}: {
  sequelize: Sequelize;
  models: Pick<AccountsModels, 'SigningKey'>;
  clock: Clock;
  /** Ed25519, PKCS#8, PEM. */
  configuredPem: string | undefined;
}): SigningKeys {
  let cached: { keys: LoadedKey[]; readAtMs: number } | undefined;
  let reading: Promise<LoadedKey[]> | undefined;

  const read = async (): Promise<LoadedKey[]> => {
    const configured = configuredPem === undefined ? [] : [await loadKey(configuredPem, { retired: false })];
    let rows = await SigningKey.findAll({ order: [['created_at', 'DESC'], 'kid'], raw: true });
    if (configured.length === 0 && !rows.some((row) => row.retired_at === null)) {
      // Processes that start at the same time may each make one. The newest signs for all, and all of them verify.
      await SigningKey.create(await newRow(clock.now()));
      rows = await SigningKey.findAll({ order: [['created_at', 'DESC'], 'kid'], raw: true });
    }
    const stored = await Promise.all(
      rows.map((row) => loadKey(row.private_key, { retired: row.retired_at !== null || configured.length > 0 })),
    );
    return [...configured, ...stored.filter((key) => key.kid !== configured[0]?.kid)];
  };

  const keys = async (maxAgeMs: number): Promise<LoadedKey[]> => {
    if (cached && performance.now() - cached.readAtMs < maxAgeMs) return cached.keys;
    reading ??= read().finally(() => {
      reading = undefined;
    });
    cached = { keys: await reading, readAtMs: performance.now() };
    return cached.keys;
  };

  return {
    async signingKey() {
      const key = (await keys(REFRESH_MS)).find((candidate) => !candidate.retired);
      if (!key) throw new Error('There is no signing key: the table signing_keys has none that is not retired');
      return key;
    },

    async verificationKey(kid) {
      const find = (all: LoadedKey[]) => all.find((key) => key.kid === kid)?.publicKey;
      return find(await keys(REFRESH_MS)) ?? find(await keys(MISS_REFRESH_MS));
    },

    async jwks() {
      return { keys: (await keys(REFRESH_MS)).map((key) => key.jwk) };
    },

    async rotate() {
      const row = await newRow(clock.now());
      const goneBefore = new Date(clock.now().getTime() - KEPT_AFTER_RETIRING_MS);
      await inTransaction(sequelize, async (transaction) => {
        await SigningKey.destroy({ where: { retired_at: { [Op.lt]: goneBefore } }, transaction });
        await SigningKey.update({ retired_at: clock.now() }, { where: { retired_at: null }, transaction });
        await SigningKey.create(row, { transaction });
      });
      cached = undefined;
      return row.kid;
    },
  };
}

async function newRow(now: Date) {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const { kid } = await loadKey(pem, { retired: false });
  return { kid, private_key: pem, created_at: now, retired_at: null };
}

/** Throws an error that does not repeat the key when the PEM is not an Ed25519 private key. */
async function loadKey(pem: string, { retired }: { retired: boolean }): Promise<LoadedKey> {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new Error(
      'The signing key: expected an Ed25519 private key as PKCS#8 PEM, found something that does not parse',
    );
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new Error(`The signing key: expected an Ed25519 private key, found one of type ${key.asymmetricKeyType}`);
  }
  const privatePem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const publicPem = createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
  const publicKey = await importSPKI(publicPem, 'EdDSA', { extractable: true });
  const { kty, crv, x } = await exportJWK(publicKey);
  if (kty === undefined || crv === undefined || x === undefined) throw new Error('An Ed25519 key has no public part');
  const kid = await calculateJwkThumbprint({ kty, crv, x });
  return {
    kid,
    privateKey: await importPKCS8(privatePem, 'EdDSA'),
    publicKey,
    jwk: { kty, crv, x, kid, alg: 'EdDSA', use: 'sig' },
    retired,
  };
}

/** The key that the configuration gives, itself or by the name of its file. */
export function configuredSigningKey(
  config: Pick<MonolithConfig, 'jwtPrivateKey' | 'jwtPrivateKeyFile'>,
): string | undefined {
  // Many tools keep a variable on one line and write the line ends of the PEM as \n.
  if (config.jwtPrivateKey !== undefined) return config.jwtPrivateKey.replaceAll('\\n', '\n');
  return config.jwtPrivateKeyFile === undefined ? undefined : readFileSync(config.jwtPrivateKeyFile, 'utf8');
}
