import { randomBytes } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

/** Something that issues access tokens, as the shop does. */
export type TestIssuer = {
  keys: object;
  token(accountId: number, role: 'customer' | 'admin'): Promise<string>;
};

export async function createTestIssuer(): Promise<TestIssuer> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  const kid = randomBytes(8).toString('hex');
  return {
    keys: { keys: [{ ...(await exportJWK(publicKey)), kid, alg: 'EdDSA', use: 'sig' }] },
    token: (accountId, role) =>
      new SignJWT({ role })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid })
        .setSubject(String(accountId))
        .setIssuer('shop')
        .setAudience('shop')
        .setIssuedAt()
        .setExpirationTime('15m')
        .sign(privateKey),
  };
}
