import { describeFramingPair } from './testing/describe-framing-pair.ts';
import { startExpressUpstream, startLenientUpstream } from './testing/recording-upstream.ts';

// The third pair, with nginx, is in e2e/security: only there may servers of Debian's be had.
describeFramingPair('in front of Express, on which monolith and services stand', startExpressUpstream);
describeFramingPair('in front of a Node server whose parser forgives what it can', startLenientUpstream);
