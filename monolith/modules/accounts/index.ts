import { Router } from 'express';
import { defaultScryptParameters } from '../../auth/password.ts';
import type { ModuleDeps, ShopModule } from '../module.ts';
import { createAccountService } from './account-service.ts';
import { addAccountRoutes, addKeyRoutes, addSessionRoutes } from './routes.ts';
import { createSessionService } from './session-service.ts';

const CLEANING_INTERVAL_MS = 3_600_000;

/** Who the shop's customers and admins are, and how they log in. */
export function createAccountsModule(deps: ModuleDeps): ShopModule {
  const { sequelize, models, events, clock, config, auth, accessTokens, signingKeys, log } = deps;
  const sessions = createSessionService({ sequelize, models, accessTokens, clock, ttlMs: config.refreshTokenTtlMs });
  const accounts = createAccountService({
    sequelize,
    models,
    events,
    clock,
    scrypt: { ...defaultScryptParameters, logCost: config.passwordLogCost },
    onPasswordChanged: (accountId) => sessions.endAll(accountId),
  });

  const routes = Router();
  addAccountRoutes(routes, { auth, accounts });
  addSessionRoutes(routes, { auth, accounts, sessions });
  addKeyRoutes(routes, { signingKeys });

  let cleaning: NodeJS.Timeout | undefined;
  return {
    routes,
    async start() {
      await signingKeys.signingKey();
      cleaning = setInterval(() => {
        sessions
          .deleteExpired()
          .catch((error: unknown) => log.warn({ err: error }, 'expired sessions were not deleted'));
      }, CLEANING_INTERVAL_MS);
      cleaning.unref();
    },
    async stop() {
      clearInterval(cleaning);
    },
  };
}
