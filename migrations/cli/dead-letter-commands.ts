import {
  createDeadLetters,
  type DeadLetter,
  type DeadLetters,
  mostDeadLetters,
} from '@strangler/platform/outbox/dead-letters.ts';
import { messageHeaders } from '@strangler/platform/outbox/message.ts';
import { names } from '@strangler/platform/outbox/topology.ts';
import type { Command } from 'commander';
import { applyConsumerName } from '../engine/pipe/apply-consumer.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { wholeNumber } from './option-values.ts';
import { type BrokerOptions, withBroker, withBrokerAddress } from './pipe-options.ts';
import { formatTable } from './table.ts';
import { authorOf, type Terminal } from './terminal.ts';

type LetterOptions = Pick<BrokerOptions, 'rabbitmq'> & { consumer?: boolean; json?: boolean };
type WhichOptions = LetterOptions & { all?: boolean };

/** `strangler dlq list | show | replay | drop`. */
export const addDeadLetterCommands = (program: Command, terminal: Terminal): void => {
  const dlq = program.command('dlq').description('see, send again or drop messages that were given up');

  const command = (words: string, description: string): Command =>
    withBrokerAddress(dlq.command(words))
      .description(description)
      .option('--consumer', "the argument is the name of a consumer; without it a slice, whose applier's is meant")
      .option('--json', 'print JSON');

  command('list <slice>', 'list the messages that were given up, oldest first')
    .option('--limit <count>', 'how many', '50')
    .action(async (name: string, options: LetterOptions & { limit: string }) => {
      const limit = wholeNumber('--limit', options.limit, 1, mostDeadLetters);
      await withLetters(name, options, terminal, async (letters, consumer) => {
        const all = await letters.count(consumer);
        const listed = await letters.list(consumer, limit);
        if (options.json) return terminal.out(JSON.stringify(listed.map(summaryOf)));
        if (listed.length === 0) return terminal.out(`${consumer}: no message was given up`);
        const more = all > listed.length ? `\n\n${all - listed.length} more; --limit shows them` : '';
        terminal.out(lettersTable(listed) + more);
      });
    });

  command('show <slice> <message-id...>', 'show messages whole: headers, every try, body').action(
    async (name: string, ids: string[], options: LetterOptions) => {
      await withLetters(name, options, terminal, async (letters, consumer) => {
        const found = await findLetters(letters, consumer, ids);
        if (options.json) terminal.out(JSON.stringify(found.map(wholeOf)));
        else if (found.length > 0) terminal.out(found.map(describeLetter).join('\n\n'));
        requireAll(consumer, ids, found);
      });
    },
  );

  command('replay <slice> [message-id...]', 'put messages back into the queues they came from, as if they were new')
    .option('--all', 'every one')
    .action(async (name: string, ids: string[], options: WhichOptions) => {
      checkWhich(ids, options);
      await withLetters(name, options, terminal, async (letters, consumer) => {
        const found = options.all ? [] : await findLetters(letters, consumer, ids);
        const messageIds = found.map(({ messageId }) => messageId);
        const replayed = await letters.replay(consumer, options.all ? 'all' : { messageIds });
        terminal.out(
          options.json
            ? JSON.stringify({ consumer, replayed })
            : `${consumer}: ${replayed === 1 ? '1 message is back in its queue' : `${replayed} messages are back in their queues`}`,
        );
        if (!options.all) requireAll(consumer, ids, found);
      });
    });

  command('drop <slice> [message-id...]', 'remove messages for good; what they tell of is never done')
    .option('--all', 'every one')
    .option('--reason <text>', 'why; said with what was dropped, which is written nowhere else')
    .action(async (name: string, ids: string[], options: WhichOptions & { reason?: string }) => {
      checkWhich(ids, options);
      const reason = options.reason?.trim() ?? '';
      if (reason === '') {
        throw new CliError('expected --reason <text>: what is dropped is gone for good', exitCodes.usage);
      }
      await withLetters(name, options, terminal, async (letters, consumer) => {
        const found = options.all
          ? await letters.list(consumer, mostDeadLetters)
          : await findLetters(letters, consumer, ids);
        // By their ids: one that is given up meanwhile was not seen, and stays.
        const dropped = await letters.drop(consumer, { messageIds: found.map(({ messageId }) => messageId) });
        const by = authorOf(terminal);
        if (options.json) terminal.out(JSON.stringify({ consumer, dropped, by, reason, messages: found.map(wholeOf) }));
        else {
          const listed = found.length === 0 ? '' : `${lettersTable(found)}\n\n`;
          terminal.out(
            `${listed}${consumer}: ${dropped} ${dropped === 1 ? 'message' : 'messages'} dropped by ${by}: ${reason}`,
          );
        }
        if (!options.all) requireAll(consumer, ids, found);
      });
    });
};

const withLetters = async (
  name: string,
  options: LetterOptions,
  terminal: Terminal,
  work: (letters: DeadLetters, consumer: string) => Promise<void>,
): Promise<void> => {
  const consumer = options.consumer ? name : applyConsumerName(name);
  await withBroker(options, terminal, async (rabbit) => {
    try {
      await work(createDeadLetters(rabbit), consumer);
    } catch (error) {
      if ((error as { code?: unknown }).code !== 404) throw error;
      throw new CliError(
        `expected the queue ${names.deadLetterQueue(consumer)}, found none in this RabbitMQ: ` +
          `${options.consumer ? 'is that the name of a consumer' : `is ${name} a slice whose pipe is installed`}, and is this its RabbitMQ?`,
      );
    }
  });
};

const checkWhich = (ids: readonly string[], { all }: WhichOptions): void => {
  if (ids.length > 0 === (all === true)) {
    throw new CliError('expected either message ids, as "dlq list" shows them, or --all', exitCodes.usage);
  }
};

/** Those of the ids that are there, oldest first. */
const findLetters = async (letters: DeadLetters, consumer: string, ids: readonly string[]): Promise<DeadLetter[]> => {
  const found: DeadLetter[] = [];
  for (const id of new Set(ids)) {
    const letter = await letters.show(consumer, id);
    if (letter !== undefined) found.push(letter);
  }
  return found;
};

const requireAll = (consumer: string, ids: readonly string[], found: readonly DeadLetter[]): void => {
  const missing = ids.filter((id) => !found.some(({ messageId }) => messageId === id));
  if (missing.length === 0) return;
  throw new CliError(
    `${consumer}: expected these messages among those given up, found them not: ${missing.join(', ')}`,
  );
};

const keyOf = ({ headers }: DeadLetter): string => String(headers[messageHeaders.key] ?? '');
const triesOf = ({ history }: DeadLetter): number => history.at(-1)?.attempt ?? 0;

/** Without body and headers. */
const summaryOf = (letter: DeadLetter) => ({
  messageId: letter.messageId,
  at: letter.at ?? null,
  routingKey: letter.routingKey,
  key: keyOf(letter),
  queue: letter.queue,
  reason: letter.reason,
  tries: triesOf(letter),
});

const wholeOf = (letter: DeadLetter) => ({
  ...summaryOf(letter),
  history: letter.history,
  headers: letter.headers,
  body: letter.body,
});

const lettersTable = (letters: readonly DeadLetter[]): string =>
  formatTable(
    ['MESSAGE', 'GIVEN UP', 'ROUTING KEY', 'KEY', 'TRIES', 'REASON'],
    letters.map((letter) => [
      letter.messageId,
      letter.at ?? '-',
      letter.routingKey,
      keyOf(letter) || '-',
      triesOf(letter),
      oneLine(letter.reason),
    ]),
  );

const longestReason = 120;

const oneLine = (text: string): string => {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > longestReason ? `${line.slice(0, longestReason)}…` : line;
};

const describeLetter = (letter: DeadLetter): string =>
  [
    `message ${letter.messageId}`,
    `  given up     ${letter.at ?? '-'}: ${letter.reason}`,
    `  routing key  ${letter.routingKey}`,
    `  key          ${keyOf(letter) || '-'}`,
    `  queue        ${letter.queue}`,
    ...letter.history.map(({ at, attempt, outcome, reason }) => `  try ${attempt}        ${at} ${outcome}: ${reason}`),
    '  headers',
    ...Object.entries(letter.headers).map(([name, value]) => `    ${name}: ${headerText(value)}`),
    '  body',
    pretty(letter.body).replace(/^/gm, '    '),
  ].join('\n');

const headerText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

const pretty = (body: string): string => {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
};
