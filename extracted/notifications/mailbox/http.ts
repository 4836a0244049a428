import { idParams } from '@strangler/platform/http/id.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { noSuchRoute, problemResponder, problems } from '@strangler/platform/http/problem.ts';
import { requestContext } from '@strangler/platform/http/request-context.ts';
import { parseBody, parseParams, parseQuery } from '@strangler/platform/http/validate.ts';
import type { Log } from '@strangler/platform/log.ts';
import express, { type Express } from 'express';
import { z } from 'zod';
import { faultSchema } from './fault.ts';
import type { KeptMail, Mailbox } from './mailbox.ts';

const listQuery = z.strictObject({ to: z.string().max(254).optional() });

/** What has come, to be looked at and removed, and what is to be wrong. */
export function mailboxApp({ mailbox, log }: { mailbox: Mailbox; log: Log }): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use(requestContext());

  app.get('/health/live', (_request, response) => {
    response.json({ status: 'live' });
  });
  app.get('/health/ready', (_request, response) => {
    response.json({ status: 'ready' });
  });
  app.get('/mails', (request, response) => {
    const { to } = parseQuery(listQuery, request);
    response.json({ items: mailbox.list(to).map(mailJson) });
  });
  app.delete('/mails', (_request, response) => {
    response.json({ removed: mailbox.clear() });
  });
  app.get('/mails/:id', (request, response) => {
    const { id } = parseParams(idParams, request);
    const mail = mailbox.find(id);
    if (mail === undefined) throw problems.notFound(`There is no mail ${id}.`);
    response.json(mailJson(mail));
  });
  app.get('/mails/:id/attachments/:at', (request, response) => {
    const { id } = parseParams(idParams, request);
    const attachment = mailbox.find(id)?.attachments[Number(request.params.at)];
    if (attachment === undefined) throw problems.notFound(`Mail ${id} has no attachment ${request.params.at}.`);
    response.setHeader('Content-Type', attachment.contentType);
    response.end(attachment.content);
  });
  app.delete('/mails/:id', (request, response) => {
    const { id } = parseParams(idParams, request);
    if (!mailbox.remove(id)) throw problems.notFound(`There is no mail ${id}.`);
    response.status(204).end();
  });
  app.get('/fault', (_request, response) => {
    response.json(mailbox.fault());
  });
  app.put('/fault', jsonBody(), (request, response) => {
    mailbox.setFault(parseBody(faultSchema, request));
    response.json(mailbox.fault());
  });

  app.use(noSuchRoute());
  app.use(problemResponder(log));
  return app;
}

function mailJson({ id, messageId, from, to, subject, text, attachments, receivedAt }: KeptMail) {
  return {
    id,
    message_id: messageId,
    from,
    to,
    subject,
    text,
    attachments: attachments.map(({ filename, contentType, content }) => ({
      filename,
      content_type: contentType,
      bytes: content.length,
    })),
    received_at: receivedAt.toISOString(),
  };
}
