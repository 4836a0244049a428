import type { Plan, PlannedStep } from '../engine/stages/plan.ts';

/** A plan as people read it: numbered steps, the statements beneath each. */
export const describePlan = ({ slice, from, to, steps, warnings }: Plan): string => {
  const title = from === to ? `${slice}: stays at ${to}; what is left is taken away` : `${slice}: ${from} → ${to}`;
  const told = warnings.map(({ where, reason, remedy }) => `- ${where}: ${reason}; ${remedy}`);
  return [
    title,
    ...steps.flatMap((step, index) => ['', ...describeStep(step, index + 1)]),
    ...(told.length === 0 ? [] : ['', 'Know before you do it:', ...told]),
  ].join('\n');
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
