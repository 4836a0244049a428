import { z } from 'zod';

/**
 * How the provider treats charges. Set for all of them with `PUT /control`, and for one of them by its card token, which
 * wins over the control of the same name.
 */
export type Controls = {
  /** Every charge fails with `card_declined`. */
  decline: boolean;
  /** Milliseconds between taking a charge and answering. */
  delay_ms: number;
  /** `never` takes the charge and leaves the caller hanging; `lost` leaves it hanging and takes nothing. */
  answer: 'normal' | 'never' | 'lost';
  /** Share of charges, 0 to 1, answered 503 with nothing taken. */
  error_rate: number;
  /** Share of charges, 0 to 1, that are taken and answered 500 all the same. */
  error_after_charge_rate: number;
  /** `later`: the answer says `pending`, and the outcome follows `late_ms` afterwards by webhook. */
  decide: 'now' | 'later';
  /** How often each webhook is sent; `off` sends none. */
  webhooks: 'once' | 'twice' | 'off';
  /** Sends the later events of a charge before the earlier ones. */
  out_of_order: boolean;
  /** What "late" means, for late decisions and for webhooks sent out of order, in milliseconds. */
  late_ms: number;
  /** Where webhooks go; `null` sends none. Absent in `PUT /control`: stays what it was. */
  webhook_url: string | null;
};

const rate = z.number().min(0).max(1);
const milliseconds = z.int().min(0).max(60_000);

/** The body of `PUT /control`: what is absent goes back to its default. */
export const controlsSchema = z.strictObject({
  decline: z.boolean().default(false),
  delay_ms: milliseconds.default(0),
  answer: z.enum(['normal', 'never', 'lost']).default('normal'),
  error_rate: rate.default(0),
  error_after_charge_rate: rate.default(0),
  decide: z.enum(['now', 'later']).default('now'),
  webhooks: z.enum(['once', 'twice', 'off']).default('once'),
  out_of_order: z.boolean().default(false),
  late_ms: milliseconds.default(1_500),
  webhook_url: z
    .url({ protocol: /^https?$/ })
    .nullable()
    .optional(),
});

/** The controls with which the provider starts. */
export function defaultControls(webhookUrl: string | null): Controls {
  return { ...controlsSchema.parse({}), webhook_url: webhookUrl };
}

/** What happens to one charge: its token's and the controls' wishes, with the dice already rolled. */
export type Treatment = {
  failureCode: string | null;
  delayMs: number;
  answer: 'normal' | 'never' | 'lost' | 'refused' | 'broken';
  decide: 'now' | 'later';
  webhooks: 'once' | 'twice' | 'off';
  outOfOrder: boolean;
  lateMs: number;
};

const tokens: Record<string, Partial<Treatment>> = {
  tok_decline: { failureCode: 'card_declined' },
  tok_insufficient_funds: { failureCode: 'insufficient_funds' },
  tok_slow: { delayMs: 2_000 },
  tok_timeout: { answer: 'never' },
  tok_lost: { answer: 'lost' },
  tok_unavailable: { answer: 'refused' },
  tok_broken: { answer: 'broken' },
  tok_double_webhook: { webhooks: 'twice' },
  tok_no_webhook: { webhooks: 'off' },
  tok_late_webhook: { decide: 'later' },
  tok_late_decline: { decide: 'later', failureCode: 'card_declined' },
  tok_out_of_order: { outOfOrder: true },
};

/** The card tokens that mean something; any other `tok_…` is a good card. */
export const meaningfulTokens = Object.keys(tokens);

/** What to do with a charge. `random` gives a number from 0 up to, not including, 1. */
export function treatmentOf(cardToken: string, controls: Controls, random: () => number): Treatment {
  let answer: Treatment['answer'] = controls.answer;
  if (answer === 'normal' && random() < controls.error_rate) answer = 'refused';
  if (answer === 'normal' && random() < controls.error_after_charge_rate) answer = 'broken';
  return {
    failureCode: controls.decline ? 'card_declined' : null,
    delayMs: controls.delay_ms,
    answer,
    decide: controls.decide,
    webhooks: controls.webhooks,
    outOfOrder: controls.out_of_order,
    lateMs: controls.late_ms,
    ...(Object.hasOwn(tokens, cardToken) ? tokens[cardToken] : {}),
  };
}
