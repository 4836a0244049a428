import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { type Facts, flagOf, type SliceFacts } from './facts.ts';

export const judgeSliceFiles = ({ sliceFiles }: Pick<Facts, 'sliceFiles'>): Check[] => {
  const about = (where: string) => ({
    area: 'slices' as const,
    check: 'slice-files',
    where,
    expected: 'slice files that can be read',
  });
  if (!sliceFiles.known)
    return [
      fail(
        about('slice files'),
        sliceFiles.why,
        'Correct the file, or name its folder with --slices or $STRANGLER_SLICES.',
      ),
    ];
  const { folder, slices } = sliceFiles.value;
  return [
    slices.length > 0
      ? ok(about(folder), slices.join(', '))
      : warn(
          about(folder),
          'none',
          'Write <folder>/<slice>/slice.yaml; docs/reference/slice-file.md says what stands in it.',
        ),
  ];
};

/** What the databases say to the slice file: the findings of the engine's own preflight. */
export const judgePreflight = ({ slice, looked, preflight }: SliceFacts): Check[] => {
  const about = {
    area: 'slices' as const,
    check: 'slice-preflight',
    where: slice,
    expected: 'tables that can be captured and copied',
  };
  if (!looked) return [ok(about, `not begun, and not looked at: "strangler doctor ${slice}" does`)];
  if (preflight === null) return [];
  if (!preflight.known) return [fail(about, preflight.why, `"strangler plan ${slice}" asks the same again.`)];
  if (preflight.value.length === 0) return [ok(about, 'they can')];
  return preflight.value.map(({ level, rule, where, reason, remedy }) => {
    const one = { ...about, check: `slice-${rule}`, where: `${slice}: ${where}` };
    return level === 'refuse' ? fail(one, reason, remedy) : warn(one, reason, remedy);
  });
};

export const judgeBroker = (facts: Pick<Facts, 'broker' | 'slices' | 'store'>): Check[] => {
  const { where, answers } = facts.broker;
  const area = 'broker' as const;
  const about = { area, check: 'broker-answers', where, expected: 'a RabbitMQ that takes this user' };
  if (!answers.known)
    return [
      fail(
        about,
        answers.why,
        'See that it runs there, and that this user may use the virtual host; name another with --rabbitmq or $RABBITMQ_URL.',
      ),
    ];
  const { exchange, exchangeName } = answers.value;
  const checks = [ok(about, 'it does')];
  const isUsed = facts.slices.some(({ slice }) => isPiped(flagOf(facts, slice)));
  const exchanges = {
    area,
    check: 'broker-exchange',
    where: `${where} exchange ${exchangeName}`,
    expected: 'the exchange that relays publish to',
  };
  if (exchange) checks.push(ok(exchanges, 'there'));
  else if (isUsed)
    checks.push(fail(exchanges, 'not there', 'Start a relay, which declares it; or name another with --exchange.'));
  for (const { slice, broker } of facts.slices)
    if (broker !== null) checks.push(...judgeQueues(slice, broker, flagOf(facts, slice)));
  return checks;
};

const judgeQueues = (slice: string, broker: NonNullable<SliceFacts['broker']>, flag: FlagDocument | null): Check[] => {
  if (!isPiped(flag)) return [];
  const about = (check: string, expected: string) => ({ area: 'broker' as const, check, where: slice, expected });
  const queues = about('broker-queues', 'all queues of its pipe, each consumed by an applier');
  if (!broker.known) return [fail(queues, broker.why, `"strangler status ${slice}" asks the same again.`)];
  const { declared, consumed, of } = broker.value.queues;
  const found = `${declared} of ${of} there, ${consumed} consumed`;
  const letters = broker.value.deadLetters;
  const dead = about('broker-dead-letters', 'none');
  return [
    declared === of && consumed === of
      ? ok(queues, found)
      : fail(
          queues,
          found,
          declared < of
            ? `"strangler advance ${slice}" declares them; a broker that lost them has lost messages too: verify afterwards.`
            : `Start an applier of ${slice} (migrations/applier/main.ts), or look at /health/ready of the one that runs.`,
        ),
    letters === null || letters === 0
      ? ok(dead, letters === null ? 'no queue of them' : 'none')
      : fail(
          dead,
          String(letters),
          `"strangler dlq list ${slice}" shows them, "strangler dlq replay ${slice}" tries them again; gates stay shut until there are none.`,
        ),
  ];
};

/** Whether rows are to flow between the databases. */
const isPiped = (flag: FlagDocument | null): boolean =>
  flag !== null && flag.stage !== 'monolith' && flag.stage !== 'complete';

export const judgeWriters = ({ slice, writers }: SliceFacts): Check[] => {
  if (writers === null) return [];
  const about = {
    area: 'writers' as const,
    check: 'writers-known',
    where: slice,
    expected: 'changes that say which request made them',
  };
  if (!writers.known) return [warn(about, writers.why, `"strangler writers ${slice}" asks the same again.`)];
  const unknown = writers.value.filter(({ request }) => request === null);
  if (unknown.length === 0)
    return [ok(about, writers.value.length === 0 ? 'none seen' : `${writers.value.length} writers, all known`)];
  const named = unknown
    .slice(0, 3)
    .map(({ user, host, changes, tables }) => `${user}@${host} (${changes} to ${tables.join(', ')})`);
  const found = `${unknown.length} that do not: ${named.join('; ')}`;
  return [
    warn(
      about,
      found,
      `Find out who that is: the fence refuses them after the cut-over. "strangler writers ${slice}" lists them all; programs say it by SET @strangler_request.`,
    ),
  ];
};
