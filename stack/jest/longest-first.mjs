import { join } from 'node:path';
import TestSequencer from '@jest/test-sequencer';

/**
 * Test files that take longest, about in that order: jest goes by their size where it has never run them, and whatever
 * it begins last is waited for alone.
 */
const longest = [
  'e2e/demo/story.e2e',
  'e2e/docs/docs.e2e',
  'e2e/soak/cutover.e2e',
  'e2e/soak/soak.e2e',
  'stack/servers.integration',
  'strangler-proxy/canary/canary.integration',
  'migrations/applier/applier-process.integration',
  'strangler-proxy/hold/acknowledge.integration',
  'migrations/engine/row/round-trip.data',
  'migrations/engine/cutover/cutover.data',
  'migrations/engine/stages/stages.data',
  'migrations/applier/applier.data',
  'migrations/applier/reverse.data',
  'migrations/engine/backfill/backfill.data',
  'migrations/engine/fence/race.data',
  'migrations/cli/backfill-command.data',
  'e2e/seams/seams.data',
];

const root = join(import.meta.dirname, '../..');

export default class LongestFirst extends TestSequencer {
  sort(tests) {
    const rank = ({ path }) => {
      const at = longest.findIndex((part) => path.startsWith(join(root, part)));
      return at < 0 ? longest.length : at;
    };
    return [...super.sort(tests)].sort((one, other) => rank(one) - rank(other));
  }
}
