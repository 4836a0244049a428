import { type CommandOptions, runStrangler } from '../../demo/strangler.ts';

type Summary = { kind: string; tables: { rowsCompared: number; differences: number; unsettled: number }[] };

/** Compares all tables of a slice by `strangler verify`; a row that did not settle counts as one that differs. */
export const compareSides = async (
  slice: string,
  options: CommandOptions,
): Promise<{ compared: number; different: number }> => {
  // 1: there are differences, which the summary counts.
  const events = await runStrangler(['verify', slice], { ...options, alsoFine: [1] });
  const { tables } = events.findLast((event) => (event as Summary).kind === 'summary') as Summary;
  return {
    compared: tables.reduce((sum, { rowsCompared }) => sum + rowsCompared, 0),
    different: tables.reduce((sum, { differences, unsettled }) => sum + differences + unsettled, 0),
  };
};

/** How many messages of a slice wait for somebody to look at them. */
export const deadLetterCount = async (slice: string, options: CommandOptions): Promise<number> => {
  const [letters] = (await runStrangler(['dlq', 'list', slice], options)) as [unknown[]];
  return letters.length;
};
