import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { ChangeAuthor } from '@strangler/platform/flags/change-flag.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { BackfillEvent } from '../backfill/backfill.ts';
import type { PipeDatabases } from '../pipe/open-databases.ts';
import type { VerifyEvent } from '../verify/verify.ts';
import type { GateBounds, Verdict } from './gates.ts';

/** What a stage change works on and with. */
export type StageWork = {
  databases: PipeDatabases;
  store: FlagStore;
  rabbit: RabbitConnection;
  /** That relays publish to. */
  exchange: string;
  author: ChangeAuthor;
  bounds: GateBounds;
  log: Log;
  /** Ends long work at a place where it can go on later. */
  signal: AbortSignal;
  /** Called as it goes; for people and for records. */
  tell(event: StageEvent): void;
};

export type StageEvent =
  /** Something was done, or is about to be waited for. */
  | { kind: 'step'; where: StepPlace; what: string }
  | { kind: 'gates'; verdicts: Verdict[] }
  | { kind: 'backfill'; event: BackfillEvent }
  | { kind: 'verify'; event: VerifyEvent }
  | { kind: 'stage'; document: FlagDocument };

export type StepPlace = 'source' | 'target' | 'broker' | 'flags';

/** A gate is shut: nothing was changed. The message has a line a gate. */
export class GateShut extends Error {
  override name = 'GateShut';
  readonly verdicts: readonly Verdict[];

  constructor(slice: string, stage: string, verdicts: readonly Verdict[]) {
    const lines = verdicts.map(
      ({ gate, found, bound, todo }) => `  ${gate}: expected ${bound}, found ${found}; ${todo}`,
    );
    super(`${slice}: the gate into ${stage} is shut, nothing was changed\n${lines.join('\n')}`);
    this.verdicts = verdicts;
  }
}

/** The stage does not allow what was asked. */
export class StageRefused extends Error {
  override name = 'StageRefused';
}

/** The work was stopped where it can go on later. */
export class StageInterrupted extends Error {
  override name = 'StageInterrupted';
}
