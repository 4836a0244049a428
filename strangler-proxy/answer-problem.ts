import type { IncomingMessage, ServerResponse } from 'node:http';
import { Problem, sendProblem } from '@strangler/platform/http/problem.ts';
import { lingerOverBody } from './accept/linger.ts';
import type { Refusal } from './accept/refusal.ts';

/** An error that the proxy itself answers with. */
export type OwnAnswer = {
  status: number;
  title: string;
  detail: string;
  headers: Readonly<Record<string, string>>;
};

/** Answers with a problem detail (RFC 9457); what the client is still sending is read and dropped, within bounds. */
export function answerProblem(req: IncomingMessage, res: ServerResponse, answer: OwnAnswer): void {
  const { status, title, detail, headers } = answer;
  sendProblem(res, new Problem({ status, title, detail, headers: { ...headers } }));
  lingerOverBody(req);
}

/** Answers a request that was refused, and closes the connection where the next request's beginning is in doubt. */
export function answerRefusal(req: IncomingMessage, res: ServerResponse, refusal: Refusal): void {
  if (refusal.connection === 'keep') {
    answerProblem(req, res, refusal);
    return;
  }
  res.shouldKeepAlive = false;
  const { status, title, detail, headers } = refusal;
  sendProblem(res, new Problem({ status, title, detail, headers: { ...headers, Connection: 'close' } }));
}
