import { describe } from '@jest/globals';
import type { StartProxy } from './start-transparent-proxy.ts';
import { describeBodies } from './suite-bodies.ts';
import { describeFailures } from './suite-failures.ts';
import { describeFraming } from './suite-framing.ts';
import { describeHeaders } from './suite-headers.ts';
import { describeUpgrade } from './suite-upgrade.ts';

const suites = {
  framing: describeFraming,
  headers: describeHeaders,
  bodies: describeBodies,
  failures: describeFailures,
  upgrade: describeUpgrade,
};

export type TransparentSuite = keyof typeof suites;

/** What every proxy with no slices must do, however it is started: nothing that its client could tell it by. */
export function describeTransparentProxy(
  name: string,
  start: StartProxy,
  chosen: readonly TransparentSuite[] = Object.keys(suites) as TransparentSuite[],
): void {
  describe(name, () => {
    for (const suite of chosen) suites[suite](start);
  });
}
