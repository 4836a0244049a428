import { currentRequest } from '@strangler/platform/http/request-context.ts';
import type { Connection } from 'mysql2';
import { DatabaseError, QueryTypes, type Sequelize } from 'sequelize';

/** Who writes, as sessions say it to triggers: in `@strangler_request` and `@strangler_traceparent`. */
type Writer = { request: string | null; traceparent: string | null };

const nobody: Writer = { request: null, traceparent: null };

/**
 * Makes every session that is taken from the pool to write say for whom it writes: the request or the job that the caller
 * works for, or nobody. What a session says is set when it is taken, by one statement, and only where it has changed; so a transaction
 * costs one round trip more at most, a SELECT none, and nobody's write bears another's name.
 */
export function nameWriters(sequelize: Sequelize): void {
  const said = new WeakMap<object, Writer>();
  sequelize.addHook('afterPoolAcquire', async (taken, { type }) => {
    if ((type as string | undefined) === QueryTypes.SELECT) return;
    const { request, traceparent } = said.get(taken) ?? nobody;
    const writer = writerNow();
    if (writer.request === request && writer.traceparent === traceparent) return;
    try {
      await (taken as Connection)
        .promise()
        .query('SET @strangler_request = ?, @strangler_traceparent = ?', [writer.request, writer.traceparent]);
    } catch (error) {
      // Who has not been given the session cannot give it back.
      await sequelize.connectionManager.destroyConnection(taken).catch(() => {});
      throw new DatabaseError(error as Error & { sql: string });
    }
    said.set(taken, writer);
  });
}

function writerNow(): Writer {
  const { operation = null, traceparent = null } = currentRequest() ?? {};
  return { request: operation, traceparent };
}
