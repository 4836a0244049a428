/** Stages that a system can be brought to when it starts; from there on its operator moves the slice. */
export const startStages = ['monolith', 'sync', 'shadow'] as const;
export type StartStage = (typeof startStages)[number];
