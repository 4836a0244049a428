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

export const alertsFile: string = new URL('./alerts.yaml', import.meta.url).pathname;

/** What `promtool test rules` is to find with them. */
export const alertTestsFile: string = new URL('./alerts.tests.yaml', import.meta.url).pathname;

export const alertRules = (): AlertRule[] =>
  rulesSchema.parse(parse(readFileSync(alertsFile, 'utf8'))).groups.flatMap(({ rules }) => rules);

type Panel = { title: string; targets?: { expr: string }[] };

/** Every expression of Grafana's dashboard, with its variable filled in, by the panel that it is in. */
export const panelExpressions = (): { panel: string; expr: string }[] => {
  const file = new URL('./dashboard.json', import.meta.url);
  const { panels } = JSON.parse(readFileSync(file, 'utf8')) as { panels: Panel[] };
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ panel: title, expr: expr.replaceAll('$slice', '.*') })),
  );
};
