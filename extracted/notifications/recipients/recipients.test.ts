import { expect, test } from '@jest/globals';
import { known } from './recipients.ts';

const copied = { copied_email: 'a@example.com', copied_name: 'Copied', copied_at: new Date(1_000) };
const told = { told_email: 'b@example.com', told_name: 'Told', told_at: new Date(2_000) };
const noCopy = { copied_email: null, copied_name: null, copied_at: null };
const untold = { told_email: null, told_name: null, told_at: null };

test('of two names the later one counts, and the copy’s address before the told one', () => {
  expect(known({ ...copied, ...told })).toEqual({ address: 'a@example.com', name: 'Told' });
  expect(known({ ...copied, ...told, told_at: new Date(500) })).toEqual({ address: 'a@example.com', name: 'Copied' });
  expect(known({ ...noCopy, ...told })).toEqual({ address: 'b@example.com', name: 'Told' });
  expect(known({ ...copied, ...untold })).toEqual({ address: 'a@example.com', name: 'Copied' });
  expect(known({ ...noCopy, ...untold })).toEqual({ address: undefined, name: undefined });
  // A rename is all that was told of an account from before the events.
  expect(known({ ...copied, ...told, told_email: null })).toEqual({ address: 'a@example.com', name: 'Told' });
});
