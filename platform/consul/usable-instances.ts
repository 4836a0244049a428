import type { ServiceInstance } from './watch.ts';

/**
 * The instances whose checks pass; where none does, all that there are: whoever calls finds out sooner than a check whether one that
 * was slow to answer its check still works.
 */
export const usableInstances = (instances: readonly ServiceInstance[]): readonly ServiceInstance[] => {
  const passing = instances.filter(({ status }) => status === 'passing');
  return passing.length > 0 ? passing : instances;
};
