import { ifNoneMatchMatches } from '@strangler/platform/http/entity-tag.ts';
import type { Request, Response } from 'express';

export type Representation = {
  /** The JSON text, exactly as it is sent. */
  body: string;
  entityTag: string;
  lastModified?: Date;
};

/**
 * Answers a GET with a representation, or 304 when the client has it already. Only entity tags decide: modification
 * dates have a resolution of one second, and a price may change twice in one.
 */
export function sendRepresentation(request: Request, response: Response, representation: Representation): void {
  describe(response, representation);
  const ifNoneMatch = request.headers['if-none-match'];
  if (ifNoneMatch !== undefined && ifNoneMatchMatches(ifNoneMatch, representation.entityTag)) {
    response.status(304).end();
    return;
  }
  sendBody(response, 200, representation.body);
}

/** Answers a write with what it has made of the resource. */
export function sendWritten(response: Response, status: 200 | 201, representation: Representation): void {
  describe(response, representation);
  sendBody(response, status, representation.body);
}

function describe(response: Response, { entityTag, lastModified }: Representation): void {
  // May be stored, must be revalidated: nobody is shown a price that is no longer true.
  response.setHeader('Cache-Control', 'no-cache');
  response.setHeader('ETag', entityTag);
  if (lastModified) response.setHeader('Last-Modified', lastModified.toUTCString());
}

function sendBody(response: Response, status: number, body: string): void {
  response.status(status);
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(body));
  // Not response.send(): it would answer 304 by itself, from Last-Modified.
  response.end(body);
}
