import { serviceTokenHeader } from '../contracts/headers.ts';
import type { GrpcAdmit } from '../grpc/server.ts';
import type { Admission } from './admission.ts';
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
    // A server that serves gRPC has its library; a program without one has not, though its trust could serve both.
    const { grpcRefusal } = await import('./grpc-refusal.ts');
    throw grpcRefusal(admitted);
  };
}
