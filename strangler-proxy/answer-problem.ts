import type { IncomingMessage, ServerResponse } from 'node:http';
import { Problem, sendProblem } from '@strangler/platform/http/problem.ts';
import { lingerOverBody } from './accept/linger.ts';
import type { Refusal } from './accept/refusal.ts';
import type { AnswerHead } from './forward/answer-filter.ts';

/** What the proxy itself answers with: an error, or an answer without body where the status is below 400. */
export type OwnAnswer = {
  status: number;
  title: string;
  detail: string;
  headers: Readonly<Record<string, string>>;
};

/**
 * Answers with a problem detail (RFC 9457); what the client is still sending is read and dropped, within bounds. `answering`
 * gives the headers that policies want to see on it.
 */
export function answerProblem(
  req: IncomingMessage,
  res: ServerResponse,
  answer: OwnAnswer,
  answering: ((head: AnswerHead) => readonly string[]) | null = null,
): void {
  const { status, title, detail, headers } = answer;
  if (answering === null) {
    sendProblem(res, new Problem({ status, title, detail, headers: { ...headers } }));
  } else if (!res.headersSent && !res.destroyed) {
    const rawHeaders = answering({ status, rawHeaders: Object.entries(headers).flat() });
    for (let at = 0; at < rawHeaders.length; at += 2) res.appendHeader(rawHeaders[at]!, rawHeaders[at + 1]!);
    if (status < 400) res.writeHead(status).end();
    else sendProblem(res, new Problem({ status, title, detail }));
  }
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
