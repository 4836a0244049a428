import { describeFramingPair } from '@strangler/strangler-proxy/security/testing/describe-framing-pair.ts';
import { startNginxUpstream } from './nginx-upstream.ts';

describeFramingPair('in front of nginx', startNginxUpstream);
