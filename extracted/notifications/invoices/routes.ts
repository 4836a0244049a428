import { type Auth, identityOf } from '@strangler/platform/auth/auth.ts';
import { idParams } from '@strangler/platform/http/id.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { parseParams } from '@strangler/platform/http/validate.ts';
import type { Router } from 'express';
import type { Invoices } from './invoices.ts';

export function addInvoiceRoutes(
  routes: Router,
  { auth, invoices }: { auth: Auth; invoices: Pick<Invoices, 'find'> },
): void {
  routes.get('/api/notifications/invoices/:id', auth.requireAccount(), async (request, response) => {
    const { id } = parseParams(idParams, request);
    const { accountId, role } = identityOf(request);
    const invoice = await invoices.find(id);
    if (invoice === undefined || (role !== 'admin' && invoice.accountId !== accountId)) {
      throw problems.notFound(`There is no invoice of order ${id}.`);
    }
    response.setHeader('Content-Type', 'application/pdf');
    response.setHeader('Content-Disposition', `attachment; filename="invoice-${id}.pdf"`);
    response.end(invoice.pdf);
  });
}
