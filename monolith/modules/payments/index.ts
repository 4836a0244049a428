import { type RepeatedJob, repeat } from '@strangler/platform/repeated-job.ts';
import type { ModuleDeps, ShopModule } from '../module.ts';
import type { Notifications } from '../notifications/notifications.ts';
import { LocalPayments } from './payments.ts';
import { createProviderClient } from './provider-client.ts';
import { PaymentReconciler } from './reconciler.ts';
import { paymentRoutes } from './routes.ts';
import { createWebhookReceiver } from './webhooks.ts';

export type { Payments } from './payments.ts';

export type PaymentsModule = ShopModule & { payments: LocalPayments; reconciler: PaymentReconciler };

export function createPaymentsModule(
  deps: ModuleDeps,
  { notifications }: { notifications: Notifications },
): PaymentsModule {
  const timings = deps.config.paymentTimings;
  const provider = createProviderClient({ url: deps.config.paymentProviderUrl, timeoutMs: timings.chargeTimeoutMs });
  const payments = new LocalPayments({ ...deps, provider, notifications, timings });
  const reconciler = new PaymentReconciler({ ...deps, provider, payments, timings });
  const webhooks = createWebhookReceiver({ ...deps, payments });
  payments.whenRefundIsOwed((paymentId) => reconciler.soon(paymentId));
  let forgetting: RepeatedJob | undefined;
  return {
    payments,
    reconciler,
    routes: paymentRoutes({ ...deps, webhooks, webhookSecret: deps.config.paymentWebhookSecret }),
    start: async () => {
      reconciler.start();
      forgetting = repeat('forgetting old webhooks', 60_000, deps.log, () => webhooks.forgetOld());
    },
    stop: async () => {
      await forgetting?.stop();
      await reconciler.stop();
    },
  };
}
