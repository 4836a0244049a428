import { describeTransparentProxy } from '../testing/describe-transparent-proxy.ts';
import { startShadowedProxy } from '../testing/start-shadowed-proxy.ts';

// Upgrades never come this way, and framing is refused before it.
describeTransparentProxy('the request handler, while it compares every request', startShadowedProxy, [
  'headers',
  'bodies',
  'failures',
]);
