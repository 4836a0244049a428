import { describeTransparentProxy } from './testing/describe-transparent-proxy.ts';
import { startTransparentProxy } from './testing/start-transparent-proxy.ts';

describeTransparentProxy('the request handler, transparent', startTransparentProxy);
