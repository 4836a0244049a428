import type { ComparedAnswer } from '@strangler/platform/compare/answer.ts';
import type { Comparison, Difference } from '@strangler/platform/compare/compare-answers.ts';
import { dryRunMediaType, parseDryRunAnswer } from '@strangler/platform/contracts/dry-run.ts';
import type { AskedAnswer } from './ask.ts';
import { comparedAnswer } from './compared-answer.ts';

export type WriteVerdict = {
  outcome: 'same' | 'ignored' | 'racing' | 'different';
  differences: readonly Difference[];
  ignored: Comparison['ignored'];
};

export type WriteFacts = {
  /** Another write to the same resource was under way, or had been lately. */
  othersWrote: boolean;
  /** How much later than the head of the live answer the dry run was answered, in milliseconds; negative where it was first. */
  answeredAfterLiveMs: number;
};

/** Within this time after a live write the service cannot have heard of it yet through the pipe, which takes longer than that. */
export const unheardMs = 10;

/**
 * Judges a write by its dry run. It cannot be made again: the write is done. So where the service may have known of this
 * write, or of another to the same resource, a difference proves nothing, and is `racing`.
 */
export const judgeWrite = (
  { differences, ignored }: Comparison,
  { othersWrote, answeredAfterLiveMs }: WriteFacts,
): WriteVerdict => {
  if (differences.length === 0) return { outcome: ignored.length > 0 ? 'ignored' : 'same', differences, ignored };
  const racing = othersWrote || answeredAfterLiveMs > unheardMs;
  return { outcome: racing ? 'racing' : 'different', differences, ignored };
};

/** What the service would have answered, by its answer to the dry run; null where that is no such answer. */
export const readDryRun = (asked: AskedAnswer): ComparedAnswer | null => {
  const contentType = asked.headers.find(([name]) => name === 'content-type')?.[1] ?? '';
  if (asked.status !== 200 || asked.extent !== 'whole' || contentType.split(';')[0]!.trim() !== dryRunMediaType) {
    return null;
  }
  const told = parseDryRunAnswer(asked.body.toString('utf8'));
  if (told === undefined) return null;
  const { status, headers, bodyBase64 } = told.answer;
  return comparedAnswer(
    {
      status,
      headers: headers.map(([name, value]) => [name.toLowerCase(), value] as const),
      body: Buffer.from(bodyBase64, 'base64'),
      extent: 'whole',
      latencyMs: asked.latencyMs,
    },
    told.effects,
  );
};
