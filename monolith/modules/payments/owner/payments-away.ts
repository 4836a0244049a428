import type { GrpcCallError } from '@strangler/platform/grpc/errors.ts';
import { Problem } from '@strangler/platform/http/problem.ts';

/** The service did not answer, or cannot just now: 503. What was asked for may have been done. */
export class PaymentsAway extends Problem {
  constructor(cause: GrpcCallError) {
    const detail = 'The payments cannot be reached just now. Send the same again: nothing is charged twice.';
    super({ status: 503, detail, headers: { 'retry-after': '1' }, cause });
    this.name = 'PaymentsAway';
  }
}
