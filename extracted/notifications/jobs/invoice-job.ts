import { invoicePdf } from '../invoices/invoice-pdf.ts';
import type { Invoices } from '../invoices/invoices.ts';
import type { Recipients } from '../recipients/recipients.ts';
import type { Settings } from '../settings/settings.ts';
import { type Effect, JobFailure } from './run-job.ts';

/** Sets the invoice of an order and keeps it. One that is there stays: a customer has it already. */
export function createInvoiceEffect({
  invoices,
  recipients,
  settings,
}: {
  invoices: Invoices;
  recipients: Pick<Recipients, 'find'>;
  settings: Pick<Settings, 'now'>;
}): Effect {
  return async (job, _locale, progress) => {
    const { orderId, accountId } = job;
    if (orderId === null) throw new JobFailure('for good', `job ${job.id} has no order`);
    if ((await invoices.find(orderId)) !== undefined) return 'made before';
    const order = await invoices.order(orderId);
    if (order === undefined)
      throw new JobFailure('for good', `order ${orderId} was placed before this service listened`);
    const { name, address } = await recipients.find(accountId);
    const pdf = await invoicePdf(order, {
      to: name ?? address ?? `Customer ${accountId}`,
      from: settings.now().sender_name,
      progress: (share) => progress(Math.round(share * 90)),
    });
    await invoices.keep({ orderId, accountId, pdf });
    return 'made';
  };
}
