import type { Progress } from './progress.ts';

/** What every scenario is told. */
export type ScenarioOptions = {
  requestsPerSecond: number;
  products: number;
  /** How long traffic is watched at each step of the scenario. */
  secondsPerStep: number;
  /** Name of the private servers and of the system's folder. */
  instance: string;
  /** Leave everything running in the end. */
  keep: boolean;
  progress: Progress;
  signal: AbortSignal;
};
