import { describe, expect, test } from '@jest/globals';
import type { Declaration } from '@strangler/platform/outbox/topology.ts';
import { jobKinds } from '../jobs/job.ts';
import { locales } from '../recipients/recipients.ts';
import { own, ownTopology } from './topology.ts';

const declared = ownTopology('n');
const queues = declared.filter((one): one is Extract<Declaration, { kind: 'queue' }> => one.kind === 'queue');
const bindings = declared.filter((one): one is Extract<Declaration, { kind: 'binding' }> => one.kind === 'binding');

describe('the service’s own topology', () => {
  test('names everything once, and binds nothing that is not declared before', () => {
    const seen = new Set<string>();
    for (const one of declared) {
      if (one.kind === 'binding') {
        expect(seen).toContain(`queue ${one.destination}`);
        expect(seen).toContain(`exchange ${one.source}`);
        continue;
      }
      const name = `${one.kind} ${one.name}`;
      expect(seen).not.toContain(name);
      seen.add(name);
    }
  });

  test('bounds every queue, and refuses rather than drops', () => {
    for (const { name, arguments: args } of queues) {
      expect({ name, length: args['x-max-length'] }).toEqual({ name, length: expect.any(Number) });
      expect({ name, full: args['x-overflow'] }).toEqual({ name, full: 'reject-publish' });
    }
  });

  test('has one queue for each channel and language, and one for commands to each kind of worker', () => {
    for (const kind of jobKinds) {
      const byLocale = bindings.filter((one) => one.source === own.deliveries('n') && one.arguments.channel === kind);
      expect(byLocale.map((one) => one.arguments.locale).sort()).toEqual([...locales].sort());
      const commands = bindings.filter((one) => one.source === own.commands('n') && one.pattern === kind);
      expect(commands.map((one) => one.destination)).toEqual([own.commandQueue('n', kind)]);
    }
  });
});
