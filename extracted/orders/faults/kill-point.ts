/** Called before and after every step of a saga. */
export type KillPoint = (step: string) => void;

/**
 * Kills this process, without any chance to clean up, when it comes to a step: for tests that see what is left behind.
 * `step`: such as `after charge`; undefined: never.
 */
export function createKillPoint(step: string | undefined): KillPoint {
  return (reached) => {
    if (reached === step) process.kill(process.pid, 'SIGKILL');
  };
}
