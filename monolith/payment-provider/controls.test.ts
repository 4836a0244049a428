import { describe, expect, test } from '@jest/globals';
import { controlsSchema, defaultControls, treatmentOf } from './controls.ts';

const controls = defaultControls(null);
const never = () => 0.999;

describe('the treatment of a charge', () => {
  test('a card that means nothing succeeds at once', () => {
    expect(treatmentOf('tok_visa', controls, never)).toMatchObject({
      failureCode: null,
      answer: 'normal',
      decide: 'now',
    });
  });

  test('a card that means something wins over the controls', () => {
    expect(treatmentOf('tok_decline', controls, never).failureCode).toBe('card_declined');
    expect(treatmentOf('tok_double_webhook', { ...controls, webhooks: 'off' }, never).webhooks).toBe('twice');
  });

  test('a card named after a member of every object means nothing', () => {
    expect(treatmentOf('constructor', controls, never).answer).toBe('normal');
  });

  test('the error rates are shares of the charges', () => {
    const half = { ...controls, error_rate: 0.5 };
    expect(treatmentOf('tok_visa', half, () => 0.49).answer).toBe('refused');
    expect(treatmentOf('tok_visa', half, () => 0.5).answer).toBe('normal');
    expect(treatmentOf('tok_visa', { ...controls, error_after_charge_rate: 1 }, never).answer).toBe('broken');
  });

  test('what is absent from the controls is at its default', () => {
    expect(controlsSchema.parse({})).toEqual({ ...controls, webhook_url: undefined });
  });
});
