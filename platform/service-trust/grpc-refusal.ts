import { Metadata } from '@grpc/grpc-js';
import { GrpcError } from '../grpc/errors.ts';
import { type Admitted, toldDetails } from './admission.ts';

/** How a refused caller is told so over gRPC. */
export function grpcRefusal({ as, told }: Extract<Admitted, { kind: 'refused' }>): GrpcError {
  const more = new Metadata();
  more.set('x-reason', told);
  return new GrpcError(as === 'forbidden' ? 'PERMISSION_DENIED' : 'UNAUTHENTICATED', toldDetails[told], more);
}
