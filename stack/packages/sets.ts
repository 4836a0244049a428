/** The packages that make up a server, and how what they hold is run. */

export type PackageSetName =
  | 'mysql'
  | 'mariadb'
  | 'rabbitmq'
  | 'redis'
  | 'consul'
  | 'prometheus'
  | 'nginx'
  | 'chromium';

/** One place where a set can be had. */
export type PackageChoice = {
  /** `native`: the release that runs here; otherwise another suite of the same distribution. */
  suite: 'native' | 'sid' | 'bullseye';
  /** The package itself; of several matching names the highest version is taken. */
  root: RegExp;
  /**
   * `system`: the machine's own dynamic loader, with the unpacked libraries beside the machine's.
   * `unpacked`: loader, C library and all others from the unpacked packages, because they are of another release.
   */
  loader: 'system' | 'unpacked';
};

export type PackageSet = {
  name: PackageSetName;
  choices: PackageChoice[];
  /** Dependencies to follow besides libraries. */
  alsoKeep?: RegExp;
  /** Libraries that only plug-ins use which nobody loads here. */
  leaveOut?: RegExp;
  /** The server's program, relative to the unpacked folder; `*` stands for one path segment or a part of it. */
  program: string;
  /** More than this would mean that the closure has run away. */
  atMostMegabytes: number;
};

export const packageSets: Record<PackageSetName, PackageSet> = {
  mysql: {
    name: 'mysql',
    choices: [
      { suite: 'native', root: /^mysql-server-core(-[\d.]+)?$/, loader: 'system' },
      { suite: 'sid', root: /^mysql-server-core(-[\d.]+)?$/, loader: 'unpacked' },
    ],
    program: 'usr/sbin/mysqld',
    atMostMegabytes: 120,
  },
  mariadb: {
    name: 'mariadb',
    choices: [{ suite: 'native', root: /^mariadb-server-core(-[\d.]+)?$/, loader: 'system' }],
    program: 'usr/sbin/mariadbd',
    atMostMegabytes: 80,
  },
  rabbitmq: {
    name: 'rabbitmq',
    choices: [{ suite: 'native', root: /^rabbitmq-server$/, loader: 'system' }],
    alsoKeep: /^erlang-/,
    program: 'usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server',
    atMostMegabytes: 80,
  },
  redis: {
    name: 'redis',
    choices: [{ suite: 'native', root: /^redis-server$/, loader: 'system' }],
    alsoKeep: /^redis-tools$/,
    program: 'usr/bin/redis-server',
    atMostMegabytes: 30,
  },
  consul: {
    name: 'consul',
    choices: [
      { suite: 'native', root: /^consul$/, loader: 'system' },
      { suite: 'bullseye', root: /^consul$/, loader: 'system' },
    ],
    program: 'usr/bin/consul',
    atMostMegabytes: 60,
  },
  // Its promtool alone is run, by tests.
  prometheus: {
    name: 'prometheus',
    choices: [{ suite: 'native', root: /^prometheus$/, loader: 'system' }],
    program: 'usr/bin/promtool',
    atMostMegabytes: 150,
  },
  // No server of the system's: a parser of another make, for the tests of the proxy.
  nginx: {
    name: 'nginx',
    choices: [
      { suite: 'native', root: /^nginx$/, loader: 'system' },
      { suite: 'native', root: /^nginx-light$/, loader: 'system' },
    ],
    program: 'usr/sbin/nginx',
    atMostMegabytes: 20,
  },
  // The dashboard is tried in it.
  chromium: {
    name: 'chromium',
    choices: [{ suite: 'native', root: /^chromium$/, loader: 'system' }],
    alsoKeep: /^(chromium-common|fonts-dejavu-core)$/,
    // Drivers of graphics cards, and what draws with them: nothing here has a screen.
    leaveOut: /^(libllvm|libgl1-mesa|mesa-|libz3|libgtk|libjsoncpp)/,
    program: 'usr/lib/chromium/chromium',
    atMostMegabytes: 180,
  },
};

/** Whether a dependency of the set is downloaded: shared libraries are, maintainer scripts' tools are not. */
export function keeps(set: PackageSet, name: string): boolean {
  if (set.leaveOut?.test(name)) return false;
  if (set.alsoKeep?.test(name)) return true;
  if (/-perl$|-modules?(-|$)|^libc-|^libpam|^libdebian|^libpython|^libperl/.test(name)) return false;
  return /^lib|^zlib1g$|^openssl-provider-/.test(name);
}
