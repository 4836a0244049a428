import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';

const rulesSchema = z.object({
  groups: z.array(
    z.object({
      name: z.string(),
      rules: z.array(
        z.object({
          alert: z.string(),
          expr: z.string(),
          labels: z.object({ severity: z.enum(['page', 'ticket']) }),
          annotations: z.object({ summary: z.string(), runbook: z.string() }),
        }),
      ),
    }),
  ),
});

export type AlertRule = z.infer<typeof rulesSchema>['groups'][number]['rules'][number];

/** A file of rules, what `promtool test rules` is to find with them, and the page that says what each means. */
export type AlertFile = { rules: string; tests: string; page: string };

const alertFile = (name: string, page: string): AlertFile => ({
  rules: new URL(`./${name}.yaml`, import.meta.url).pathname,
  tests: new URL(`./${name}.tests.yaml`, import.meta.url).pathname,
  page,
});

/** The kit's, for any monolith, and those of the shop. */
export const alertFiles: readonly AlertFile[] = [
  alertFile('alerts', 'docs/alerts.md'),
  alertFile('shop-alerts', 'docs/alerts-shop.md'),
];

export const rulesIn = ({ rules }: AlertFile): AlertRule[] =>
  rulesSchema.parse(parse(readFileSync(rules, 'utf8'))).groups.flatMap((group) => group.rules);

export const alertRules = (): AlertRule[] => alertFiles.flatMap(rulesIn);

type Panel = { title: string; targets?: { expr: string }[] };

/** Every expression of Grafana's dashboard, with its variable filled in, by the panel that it is in. */
export const panelExpressions = (): { panel: string; expr: string }[] => {
  const file = new URL('./dashboard.json', import.meta.url);
  const { panels } = JSON.parse(readFileSync(file, 'utf8')) as { panels: Panel[] };
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ panel: title, expr: expr.replaceAll('$slice', '.*') })),
  );
};
