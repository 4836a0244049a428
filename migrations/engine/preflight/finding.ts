/** One thing that stands in the way of moving a slice's tables, or that its team should know of. */
export type Finding = {
  /** `refuse`: nothing may be captured until it is mended. `warn`: it may, knowing this. */
  level: 'refuse' | 'warn';
  rule: FindingRule;
  /** What it is about: `source shop.products.id`, `mapping of products`, … */
  where: string;
  /** What was found, and why that matters. */
  reason: string;
  /** What to do next. */
  remedy: string;
};

export type FindingRule =
  | 'table-missing'
  | 'copy-ended'
  | 'not-a-base-table'
  | 'not-innodb'
  | 'no-primary-key'
  | 'key-mismatch'
  | 'foreign-key-cascade'
  | 'column-missing'
  | 'column-type-unsupported'
  | 'column-incompatible'
  | 'column-unmapped'
  | 'column-generated'
  | 'expression-invalid'
  | 'transform-invalid'
  | 'collation-differs'
  | 'privilege-missing'
  | 'trigger-creation-barred'
  | 'trigger-present'
  | 'truncate-possible'
  | 'row-too-large'
  | 'partition-operations'
  | 'name-spelling'
  | 'name-taken';

export const refuse = (rule: FindingRule, where: string, reason: string, remedy: string): Finding => ({
  level: 'refuse',
  rule,
  where,
  reason,
  remedy,
});

export const warn = (rule: FindingRule, where: string, reason: string, remedy: string): Finding => ({
  ...refuse(rule, where, reason, remedy),
  level: 'warn',
});
