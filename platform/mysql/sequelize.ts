import { DataTypes, type Model, type ModelAttributeColumnOptions, Sequelize } from 'sequelize';
import type { Log } from '../log.ts';
import { checkMysqlUrl } from './pool.ts';

export type SequelizeOptions = {
  log: Log;
  pool?: {
    /** Connections at most, 10 unless told. */
    max?: number;
    /** How long to wait for one, 10 000 ms unless told. */
    acquireTimeoutMs?: number;
  };
  /** Called with every statement, values included. */
  onStatement?(sql: string): void;
};

type Statement = (sql: string, durationMs?: number) => void;
type StatementLog = Statement & { readonly listeners: Set<Statement> };

/**
 * A Sequelize for MySQL or MariaDB (one dialect serves both): UTC, utf8mb4, DECIMAL as strings. Statements are
 * traced with their duration and without their texts' values. Connects when first used.
 */
export function createSequelize(url: string, { log, pool = {}, onStatement }: SequelizeOptions): Sequelize {
  checkMysqlUrl(url);
  const { max = 10, acquireTimeoutMs = 10_000 } = pool;
  return new Sequelize(url, {
    dialect: 'mysql',
    timezone: '+00:00',
    benchmark: true,
    logging: statementLog(log, onStatement),
    pool: { max, min: 0, acquire: acquireTimeoutMs, idle: 10_000 },
    define: { charset: 'utf8mb4' },
    dialectOptions: {
      charset: 'utf8mb4',
      connectTimeout: 5000,
      decimalNumbers: false,
      supportBigNumbers: true,
      bigNumberStrings: false,
      enableKeepAlive: true,
      keepAliveInitialDelay: 10_000,
    },
  });
}

/** Which statements a Sequelize made by `createSequelize` ran while `fn` did; transaction control included. */
export async function countStatements<T>(
  sequelize: Sequelize,
  fn: () => Promise<T>,
): Promise<{ result: T; statements: string[] }> {
  const { options } = sequelize as unknown as { options: { logging?: Partial<StatementLog> } };
  const listeners = options.logging?.listeners;
  if (!listeners)
    throw new TypeError(
      'countStatements: expected a Sequelize made by createSequelize, found one with its own logging',
    );
  const statements: string[] = [];
  const note: Statement = (sql) => void statements.push(sql);
  listeners.add(note);
  try {
    return { result: await fn(), statements };
  } finally {
    listeners.delete(note);
  }
}

/**
 * An attribute for a JSON column that holds an object, an array or null, and comes back as such on both engines
 * (MariaDB sends text). For raw queries, which pass attributes by, use `parseJson`.
 */
export function jsonColumn(
  name: string,
  options: Partial<ModelAttributeColumnOptions> = {},
): ModelAttributeColumnOptions {
  return {
    allowNull: true,
    ...options,
    type: DataTypes.JSON,
    get(this: Model) {
      return parseJson(this.getDataValue(name as never));
    },
    set(this: Model, value: unknown) {
      // A text would be taken for an encoded document when read back.
      if (value !== null && value !== undefined && typeof value !== 'object') {
        throw new TypeError(`JSON column ${name}: expected an object, an array or null, found ${typeof value}`);
      }
      this.setDataValue(name as never, value as never);
    },
  };
}

/** A JSON column's value as an object, whether the driver sent text or had parsed it already. */
export function parseJson(value: unknown): unknown {
  return typeof value === 'string' ? JSON.parse(value) : value;
}

const prefix = /^Execut(?:ed|ing) \([^)]*\): /;
const textLiteral = /'(?:[^'\\]|\\.|'')*'/gs;

function statementLog(log: Log, onStatement: ((sql: string) => void) | undefined): StatementLog {
  const listeners = new Set<Statement>();
  if (onStatement) listeners.add((sql) => onStatement(sql));
  const note: Statement = (message, durationMs) => {
    const sql = message.replace(prefix, '');
    for (const listener of listeners) listener(sql, durationMs);
    if (log.isLevelEnabled('trace')) log.trace({ durationMs, sql: sql.replace(textLiteral, "'?'") }, 'statement');
  };
  return Object.assign(note, { listeners });
}
