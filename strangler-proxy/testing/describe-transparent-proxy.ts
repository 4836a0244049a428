import { describe } from '@jest/globals';
import type { StartProxy } from './start-transparent-proxy.ts';
import { describeBodies } from './suite-bodies.ts';
import { describeFailures } from './suite-failures.ts';
import { describeFraming } from './suite-framing.ts';
import { describeHeaders } from './suite-headers.ts';
import { describeUpgrade } from './suite-upgrade.ts';

/** What every proxy with no slices must do, however it is started: nothing that its client could tell it by. */
export function describeTransparentProxy(name: string, start: StartProxy): void {
  describe(name, () => {
    describeFraming(start);
    describeHeaders(start);
    describeBodies(start);
    describeFailures(start);
    describeUpgrade(start);
  });
}
