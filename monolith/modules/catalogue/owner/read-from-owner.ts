import type { Log } from '@strangler/platform/log.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import type { RequestHandler } from 'express';
import { type CatalogueClient, textOf } from './catalogue-client.ts';

const passedOn = ['etag', 'cache-control', 'last-modified', 'content-type'];

/**
 * Middleware before the routes that read the catalogue: once the service owns its writes, it answers, so that whoever has
 * written through the shop reads what was written, under the ETag that the next write needs. While the shop's own
 * tables are kept in step they answer where the service does not.
 */
export function readFromOwner({
  owner,
  client,
  log,
}: {
  owner: OwnerFollower | undefined;
  client: CatalogueClient;
  log: Log;
}): RequestHandler {
  return async (request, response, next) => {
    const said = owner?.now();
    if (said?.holder !== 'service' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      next();
      return;
    }
    const ifNoneMatch = request.headers['if-none-match'];
    try {
      const answer = await client.send({
        method: 'GET',
        path: request.originalUrl,
        ...(ifNoneMatch === undefined ? {} : { headers: { 'if-none-match': ifNoneMatch } }),
      });
      // A problem is told by the shop's own words for it, so that it looks like any other.
      if (answer.status !== 304) textOf(answer);
      for (const name of passedOn) {
        const value = answer.headers[name];
        if (value !== undefined) response.setHeader(name, value);
      }
      response.status(answer.status);
      if (answer.status !== 304) response.setHeader('content-length', Buffer.byteLength(answer.text));
      response.end(answer.status === 304 ? undefined : answer.text);
    } catch (error) {
      const refused = (error as { status?: number }).status ?? 500;
      if (refused < 500 || said.stage === 'complete') throw error;
      log.warn({ err: error }, 'the catalogue service does not answer a read; the shop’s own tables do');
      next();
    }
  };
}
