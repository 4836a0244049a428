import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { messageOf, type OutgoingMessage } from '@strangler/platform/outbox/message.ts';
import { readPending } from '@strangler/platform/outbox/relay/reader.ts';
import { sourceUuid } from '@strangler/platform/outbox/schema.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import { answerQuestions } from './worker.ts';

/**
 * The ceiling of a relay: publishes messages that it has in memory, made ready once from rows of the same outbox, with as
 * many unconfirmed ones as the relay may have, and does nothing else.
 */
type Question = { kind: 'load'; databaseUrl: string; rows: number } | { kind: 'publish'; count: number };

const [rabbitmqUrl, exchange, windowText] = process.argv.slice(2) as [string, string, string];
const maxUnconfirmed = Number(windowText);
const rabbit = connect({ url: rabbitmqUrl, log: createLog({ name: 'raw publisher', level: 'error' }) });
const channel = await rabbit.confirmChannel();
let messages: OutgoingMessage[] = [];

const load = async (databaseUrl: string, rows: number): Promise<number> => {
  const db = createPool(databaseUrl, { connectionLimit: 1 });
  const parts = Array.from({ length: 16 }, (_, part) => part);
  const source = await sourceUuid(db);
  messages = (await readPending(db, { parts, except: [], limit: rows })).map((row) => messageOf(row, source));
  // By part they would be; the relay takes a thousand of each in turn.
  messages.sort((a, b) => String(a.properties.messageId).length - String(b.properties.messageId).length);
  await db.end();
  return messages.reduce((sum, { body }) => sum + body.length, 0) / messages.length;
};

const publish = (count: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const startedAt = performance.now();
    let sent = 0;
    let confirmed = 0;
    let drained = true;
    const go = () => {
      while (drained && sent < count && sent - confirmed < maxUnconfirmed) {
        const { routingKey, body, properties } = messages[sent % messages.length] as OutgoingMessage;
        sent += 1;
        drained = channel.publish(exchange, routingKey, body, properties, (error) => {
          if (error) return reject(new Error('a message was refused'));
          confirmed += 1;
          if (confirmed === count) {
            channel.off('drain', onDrain);
            return resolve(performance.now() - startedAt);
          }
          go();
        });
      }
    };
    const onDrain = () => {
      drained = true;
      go();
    };
    channel.on('drain', onDrain);
    go();
  });

answerQuestions<Question>(
  (question) => (question.kind === 'load' ? load(question.databaseUrl, question.rows) : publish(question.count)),
  () => rabbit.close(),
);
