import type { Plan, PlannedStep } from '../engine/stages/plan.ts';

/** A plan as people read it: numbered steps, the statements beneath each. */
export const describePlan = ({ slice, from, to, steps }: Plan): string => {
  const title = from === to ? `${slice}: stays at ${to}; what is left is taken away` : `${slice}: ${from} → ${to}`;
  return [title, ...steps.flatMap((step, index) => ['', ...describeStep(step, index + 1)])].join('\n');
};

const describeStep = ({ where, what, statements }: PlannedStep, number: number): string[] => [
  `${number}. ${where}: ${what}`,
  ...statements.map((sql) => indent(`${sql};`)),
];

const indent = (text: string): string =>
  text
    .split('\n')
    .map((line) => `     ${line}`)
    .join('\n');
