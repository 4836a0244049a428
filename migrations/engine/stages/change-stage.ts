import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { standingGates, type Verdict } from './gates.ts';
import { GateShut, StageRefused, type StageWork } from './stage-work.ts';

/** What a stage change sets beside the stage. */
export type StageChange = Partial<Pick<FlagDocument, 'reads'>> & Pick<FlagDocument, 'stage'>;

/** Tells the verdicts, and throws where one stands in the way. @throws GateShut */
export function passGates({ databases, tell }: StageWork, stage: string, verdicts: Verdict[], force: boolean): void {
  tell({ kind: 'gates', verdicts });
  const standing = standingGates(verdicts, force);
  if (standing.length > 0) throw new GateShut(databases.slice.slice, stage, standing);
}

/** Gates that were gone past, for the change's reason. */
export const forcedPast = (verdicts: readonly Verdict[]): string[] =>
  verdicts.filter(({ state }) => state === 'shut').map(({ gate, found }) => `${gate} (${found})`);

/**
 * Changes the stage from the one at which `from` was measured, and tells it.
 * @throws StageRefused where somebody has moved it meanwhile, or the monolith does not own the writes
 */
export async function changeStage(
  { store, author, databases, tell }: StageWork,
  from: FlagDocument,
  changed: (now: FlagDocument) => StageChange,
  past: readonly string[] = [],
): Promise<FlagDocument> {
  const { slice } = databases.slice;
  const reason = past.length === 0 ? author.reason : `${author.reason} [forced past ${past.join(', ')}]`.trim();
  const document = await changeFlag(
    store,
    slice,
    (now) => {
      if (now.stage !== from.stage || now.writes.owner !== 'monolith') {
        throw new StageRefused(
          `${slice}: expected it at ${from.stage} with writes on the monolith still, found ${now.change.by} has taken it to ${now.stage} with writes on ${now.writes.owner}; look with "strangler status ${slice}"`,
        );
      }
      return { ...now, ...changed(now) };
    },
    { by: author.by, reason: reason.slice(0, 1000) },
  );
  tell({ kind: 'stage', document });
  return document;
}
