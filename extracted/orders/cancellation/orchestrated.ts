import type { SagaRunner } from '../saga/saga-runner.ts';
import { isUndone } from '../saga/saga-state.ts';
import type { CancellationWay } from './way.ts';

/** The saga asks each of the others for what is theirs, until all of it is done. */
export function orchestrated({ runner }: { runner: Pick<SagaRunner, 'soon' | 'until'> }): CancellationWay {
  return {
    marks: () => undefined,
    begin: async () => [],
    async takenNote({ id }, waitMs) {
      runner.soon(id);
      await runner.until(id, ({ state }) => isUndone(state), waitMs);
    },
  };
}
