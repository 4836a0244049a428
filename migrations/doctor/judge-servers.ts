import { type Check, fail, ok, spanText, warn } from './check.ts';
import type { DatabaseFacts, DiskFacts, Facts } from './facts.ts';

/** Clocks further apart than this make "the last write wins" and every age that is shown doubtful. */
const clockBoundsMs = { warn: 500, fail: 5_000 };
const oldestVersion = { mysql: [8, 0], mariadb: [10, 6] } as const;
const freeShare = { warn: 0.1, fail: 0.03 };

export const judgeDatabase = ({ end, where, server: found }: DatabaseFacts): Check[] => {
  const area = 'databases' as const;
  const answers = {
    area,
    check: 'database-answers',
    where: `${end} ${where}`,
    expected: 'a database that takes this account',
  };
  if (!found.known) {
    const option = end === 'source' ? '--source or $STRANGLER_SOURCE' : '--target or $STRANGLER_TARGET_<SLICE>';
    return [fail(answers, found.why, `See that it runs there, and correct ${option}.`)];
  }
  const { server, isolation, timeZone, clockAheadMs, clockDoubtMs, seesPrepared } = found.value;
  const about = (check: string, expected: string) => ({ area, check, where: answers.where, expected });
  const checks = [ok(answers, `${server.account}, ${server.version}`)];

  const [major, minor] = oldestVersion[server.dialect];
  const version = about(
    'database-version',
    `${server.dialect === 'mysql' ? 'MySQL' : 'MariaDB'} ${major}.${minor} or newer`,
  );
  checks.push(
    isAtLeast(server.version, major, minor)
      ? ok(version, server.version)
      : fail(
          version,
          server.version,
          'Move the database to a server that is maintained first; nothing here was tried on it.',
        ),
  );

  const clock = about('database-clock', `a clock within ${spanText(clockBoundsMs.warn)} of this machine's`);
  const apart = Math.max(0, Math.abs(clockAheadMs) - clockDoubtMs);
  const clockFound = `${spanText(Math.abs(clockAheadMs))} ${clockAheadMs < 0 ? 'behind' : 'ahead'}, give or take ${spanText(clockDoubtMs)}`;
  const setClock = 'Let NTP set the clocks of both machines: ages, deadlines and leases are told by them.';
  if (apart > clockBoundsMs.fail) checks.push(fail(clock, clockFound, setClock));
  else if (apart > clockBoundsMs.warn) checks.push(warn(clock, clockFound, setClock));
  else checks.push(ok(clock, clockFound));

  const isolated = about('database-isolation', 'READ COMMITTED or REPEATABLE READ for its other sessions');
  const level = isolation.replace('-', ' ');
  if (level === 'READ COMMITTED' || level === 'REPEATABLE READ') checks.push(ok(isolated, level));
  else if (level === 'SERIALIZABLE')
    checks.push(
      warn(
        isolated,
        level,
        'Expect lock waits: every plain read of the fence then takes locks until its transaction ends.',
      ),
    );
  else
    checks.push(
      fail(isolated, level, 'Set transaction_isolation: at this level a reader sees rows that may never be committed.'),
    );

  const zone = about('database-time-zone', 'UTC');
  checks.push(
    isUtc(timeZone)
      ? ok(zone, timeZone)
      : warn(
          zone,
          timeZone,
          'DATETIME columns that are filled with NOW() hold local time: see that both sides mean the same by them.',
        ),
  );

  const prepared = about('database-xa', 'an account that may see prepared XA transactions');
  checks.push(
    seesPrepared
      ? ok(prepared, 'it may')
      : warn(
          prepared,
          `${server.account} may not`,
          `GRANT XA_RECOVER_ADMIN ON *.* TO that account, or be sure that nobody uses XA: a cut-over cannot see theirs.`,
        ),
  );
  return [...checks, ...judgeOutbox(found.value.outbox, answers.where)];
};

const pendingBoundsMs = { warn: 5_000, fail: 60_000 };
const largeOutboxBytes = 20 * 1024 ** 3;

const judgeOutbox = (
  outbox: Extract<DatabaseFacts['server'], { known: true }>['value']['outbox'],
  where: string,
): Check[] => {
  if (outbox === null) return [];
  const about = (check: string, expected: string) => ({ area: 'outbox' as const, check, where, expected });
  const checks: Check[] = [];
  const leases = about('outbox-relay', `a relay that holds all ${outbox.parts} parts`);
  checks.push(
    outbox.leased === outbox.parts
      ? ok(leases, `${outbox.leased} of ${outbox.parts}`)
      : fail(
          leases,
          `${outbox.leased} of ${outbox.parts}`,
          'Start a relay on this database (platform/outbox/relay/main.ts); look at /health/ready of those that run.',
        ),
  );
  const age = about('outbox-age', `no row that waits longer than ${spanText(pendingBoundsMs.warn)}`);
  const found =
    outbox.oldestUnpublishedMs === 0 ? 'none waits' : `the oldest waits for ${spanText(outbox.oldestUnpublishedMs)}`;
  const todo =
    'Look at the relay: relay_refused_rows, relay_oldest_unconfirmed_seconds and its log say what keeps it; see docs/alerts.md.';
  if (outbox.oldestUnpublishedMs > pendingBoundsMs.fail) checks.push(fail(age, found, todo));
  else if (outbox.oldestUnpublishedMs > pendingBoundsMs.warn) checks.push(warn(age, found, todo));
  else checks.push(ok(age, found));
  const size = about('outbox-size', `less than ${gib(largeOutboxBytes)}`);
  checks.push(
    outbox.bytes < largeOutboxBytes
      ? ok(size, gib(outbox.bytes))
      : warn(
          size,
          gib(outbox.bytes),
          'See that a relay drops old partitions: KEEP_PUBLISHED and ROTATE_EVERY say when.',
        ),
  );
  return checks;
};

export const judgeRedis = ({ redis }: Pick<Facts, 'redis'>): Check[] => {
  const about = {
    area: 'redis' as const,
    check: 'redis-answers',
    where: redis.where,
    expected: 'a Redis that answers',
  };
  if (!redis.answers.known) {
    const next =
      'Start it, or name another with --redis or $REDIS_URL. Until then limits and caches are each process’s own, and mismatches are not kept.';
    return [fail(about, redis.answers.why, next)];
  }
  const { version, policy, maxBytes } = redis.answers.value;
  const evicts = {
    area: 'redis' as const,
    check: 'redis-eviction',
    where: redis.where,
    expected: 'noeviction, or no bound on memory',
  };
  return [
    ok(about, `Redis ${version}`),
    maxBytes === 0 || policy === 'noeviction'
      ? ok(evicts, maxBytes === 0 ? 'no bound' : policy)
      : warn(
          evicts,
          policy,
          'Jobs and reports that Redis evicts are lost: set maxmemory-policy noeviction, or keep caches in another Redis.',
        ),
  ];
};

export const judgeDisk = ({ disk }: Pick<Facts, 'disk'>): Check[] => {
  const about = (where: string) => ({
    area: 'disk' as const,
    check: 'disk-space',
    where,
    expected: `more than ${freeShare.warn * 100} % free`,
  });
  if (!disk.known) return [warn(about('this machine'), disk.why, 'Look at it by hand.')];
  const { where, freeBytes, totalBytes }: DiskFacts = disk.value;
  const share = totalBytes === 0 ? 0 : freeBytes / totalBytes;
  const found = `${gib(freeBytes)} of ${gib(totalBytes)} free`;
  const next =
    'Make room: proxies keep their flags, and databases their logs, on disk. The databases’ own disks are not seen from here.';
  if (share < freeShare.fail) return [fail(about(where), found, next)];
  return [share < freeShare.warn ? warn(about(where), found, next) : ok(about(where), found)];
};

const isAtLeast = (version: string, major: number, minor: number): boolean => {
  const [, one = '0', two = '0'] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(one) > major || (Number(one) === major && Number(two) >= minor);
};

const isUtc = (zone: string): boolean => /^(UTC|GMT|Etc\/UTC|Zulu|[+-]00:00)$/i.test(zone);

const gib = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
