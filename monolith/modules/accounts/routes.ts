import { entityTag, ifNoneMatchMatches } from '@strangler/platform/http/entity-tag.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { parseBody } from '@strangler/platform/http/validate.ts';
import type { RequestHandler, Router } from 'express';
import { type Auth, identityOf } from '../../auth/auth.ts';
import type { SigningKeys } from '../../auth/signing-keys.ts';
import { type AccountService, accountPatch, credentials, newAccount } from './account-service.ts';
import { refreshRequest, type SessionService } from './session-service.ts';

/** How long others may keep the public keys: a key they do not know yet makes them ask again anyway. */
const JWKS_MAX_AGE_SECONDS = 300;

export function addAccountRoutes(routes: Router, { auth, accounts }: { auth: Auth; accounts: AccountService }): void {
  routes.post('/api/accounts', notStored, jsonBody(), async (request, response) => {
    const account = await accounts.register(parseBody(newAccount, request));
    response.status(201).location('/api/accounts/me').json(account);
  });

  routes.get('/api/accounts/me', notStored, auth.requireAccount(), async (request, response) => {
    response.json(await accounts.get(identityOf(request).accountId));
  });

  routes.patch('/api/accounts/me', notStored, auth.requireAccount(), jsonBody(), async (request, response) => {
    response.json(await accounts.patch(identityOf(request).accountId, parseBody(accountPatch, request)));
  });
}

export function addSessionRoutes(
  routes: Router,
  { auth, accounts, sessions }: { auth: Auth; accounts: AccountService; sessions: SessionService },
): void {
  routes.post('/api/sessions', notStored, jsonBody(), async (request, response) => {
    const account = await accounts.authenticate(parseBody(credentials, request));
    response.status(201).json(await sessions.begin(account));
  });

  routes.post('/api/sessions/refresh', notStored, jsonBody(), async (request, response) => {
    response.json(await sessions.refresh(parseBody(refreshRequest, request).refresh_token));
  });

  routes.delete('/api/sessions', notStored, auth.requireAccount(), async (request, response) => {
    await sessions.end(identityOf(request));
    response.status(204).end();
  });
}

export function addKeyRoutes(routes: Router, { signingKeys }: { signingKeys: SigningKeys }): void {
  routes.get('/.well-known/jwks.json', async (request, response) => {
    const body = JSON.stringify(await signingKeys.jwks());
    const tag = entityTag(body);
    response.setHeader('Cache-Control', `public, max-age=${JWKS_MAX_AGE_SECONDS}`);
    response.setHeader('ETag', tag);
    if (ifNoneMatchMatches(request.headers['if-none-match'] ?? '', tag)) {
      response.status(304).end();
      return;
    }
    response.type('application/json').send(body);
  });
}

/** Tokens and personal data are kept in no cache (RFC 6749 section 5.1). */
const notStored: RequestHandler = (_request, response, next) => {
  response.setHeader('Cache-Control', 'no-store');
  next();
};
