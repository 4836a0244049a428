import { Metadata } from '@grpc/grpc-js';
import { serviceTokenHeader } from '../contracts/headers.ts';
import { GrpcError } from '../grpc/errors.ts';
import type { GrpcAdmit } from '../grpc/server.ts';
import { type Admission, toldDetails } from './admission.ts';
import { certificateNames } from './certificate-names.ts';
import { callersOfMethod, type GrpcCallers } from './judge.ts';

/** For `startGrpcServer`: every call of a method that is served, streams too, before its implementation begins. */
export function createGrpcAdmit(admission: Admission, callers: GrpcCallers): GrpcAdmit {
  return async ({ method, metadata, peerCertificate }) => {
    // Two of them are none that we would have sent.
    const tokens = metadata.get(serviceTokenHeader).map(String);
    const admitted = await admission.admit({
      transport: 'grpc',
      operation: method,
      token: tokens.length === 0 ? undefined : tokens.join(','),
      certificateNames: peerCertificate === undefined ? undefined : certificateNames(peerCertificate),
      allowed: callersOfMethod(callers, method),
    });
    if (admitted.kind === 'admitted') return admitted.caller;
    const { as, told } = admitted;
    const more = new Metadata();
    more.set('x-reason', told);
    throw new GrpcError(as === 'forbidden' ? 'PERMISSION_DENIED' : 'UNAUTHENTICATED', toldDetails[told], more);
  };
}
