/** What is found where: the shapes that stack.json and the programs that use the servers agree on. */

export type Engine = 'mysql' | 'mariadb';

export const serverNames = ['mysql', 'rabbitmq', 'redis', 'consul'] as const;

/** One of the four servers. The database is called `mysql` whichever engine it runs. */
export type ServerName = (typeof serverNames)[number];

/** Where a server was found. */
export type Source = 'environment' | 'docker' | 'machine' | 'packages';

export type StackAddresses = {
  engine: Engine;
  /** The administrator's; may create databases and users. */
  mysqlUrl: string;
  rabbitmqUrl: string;
  /** Without credentials (fetch refuses them in a URL): user and password are those of `rabbitmqUrl`. */
  rabbitmqManagementUrl?: string;
  redisUrl: string;
  consulUrl: string;
};

/** A process as something that can be told from a later one with the same number. */
export type ProcessIdentity = {
  pid: number;
  /** Clock ticks after boot, from /proc/PID/stat. */
  startTime: string;
  bootId: string;
};

/** What is known of one server of an instance; kept in its folder as server.json. */
export type ServerRecord = {
  name: ServerName;
  source: Source;
  engine?: Engine;
  version: string;
  /** For the use of programs: user and password included. */
  url: string;
  managementUrl?: string;
  /** By purpose, e.g. `main`, `management`. Kept over restarts. */
  ports: Record<string, number>;
  /** The password of the administrator's account, made for this server alone. */
  secret: string;
  /** Empty for a server that is not a process of ours (environment, Docker). */
  processes: ProcessIdentity[];
  log?: string;
};

/** .stack/run/INSTANCE/stack.json */
export type StackFile = {
  instance: string;
  /** The process that has brought it up; it may have ended since. */
  startedBy?: ProcessIdentity;
  addresses: StackAddresses;
  servers: Record<ServerName, ServerRecord>;
};
