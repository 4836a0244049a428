import type { AccessTokens } from './access-token.ts';

/** The Authorization header of the shop itself, for what it does at other services without a person's asking. */
export type MachineToken = () => Promise<string>;

/** No account has it. */
export const MACHINE_ACCOUNT_ID = 0;

/** An admin's access token, signed with the shop's own keys, made anew for each use: it is never kept or shown. */
export function createMachineToken(accessTokens: AccessTokens): MachineToken {
  return async () => {
    const identity = { accountId: MACHINE_ACCOUNT_ID, role: 'admin', sessionId: undefined } as const;
    const { token } = await accessTokens.issue(identity);
    return `Bearer ${token}`;
  };
}
