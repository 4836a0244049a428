import { describe, expect, test } from '@jest/globals';
import { serviceTokenHeader } from '@strangler/platform/contracts/headers.ts';
import { openKeyFolder } from '@strangler/platform/service-trust/key-folder.ts';
import { createServiceTokens } from '@strangler/platform/service-trust/service-tokens.ts';
import { rawHttp } from '@strangler/platform/testing/sockets.ts';
import { stackHome } from '../home/paths.ts';
import { packageSets } from '../packages/sets.ts';
import { ensureUnpacked } from '../packages/unpack.ts';
import { runCommand } from '../process/run.ts';
import { fromPackages } from '../source/installation.ts';
import type { System } from '../system/system.ts';
import { missing, scrape } from './exposition.ts';
import { readingsOf } from './promql.ts';
import { alertFiles, alertRules, panelExpressions, rulesIn } from './rules.ts';

const metricsOf = (system: System): string[] => [
  ...system.proxyAdminUrls,
  ...[system.monolithUrl, ...system.catalogUrls, ...system.inventoryUrls, ...system.notificationsUrls],
  ...[...system.paymentsUrls, ...system.ordersUrls],
  ...[...system.relayUrls, ...system.applierUrls],
];

/** What alerts and dashboard read, against what the processes of a running system tell. */
export const describeMetrics = (the: () => { system: System }): void => {
  describe('the metrics', () => {
    test('have every metric and label that alerts and dashboard read', async () => {
      const exposed = await scrape(metricsOf(the().system));
      const alerts = alertRules().map(({ alert, expr }) => ({ where: alert, expr }));
      const panels = panelExpressions().map(({ panel, expr }) => ({ where: `panel ${panel}`, expr }));
      const faults = [...alerts, ...panels].flatMap(({ where, expr }) =>
        readingsOf(expr).flatMap((reading) => {
          const fault = missing(reading, exposed);
          return fault === null ? [] : [`${where}: ${fault}`];
        }),
      );
      expect(faults).toEqual([]);
      // Most of them with samples: a check of names alone would let labels go wrong.
      const read = new Set([...alerts, ...panels].flatMap(({ expr }) => readingsOf(expr).map(({ metric }) => metric)));
      const sampled = [...read].filter((metric) => exposed.samples.has(metric));
      expect(sampled.length / read.size).toBeGreaterThan(0.6);
    });

    test('do not grow with what clients send: paths, methods, headers and hosts make no series', async () => {
      const { system } = the();
      // Past the proxies the catalogue serves operators alone.
      const ring = await openKeyFolder(system.keysFolder).ring('operator');
      const token = await createServiceTokens({ ring: () => ring, lifeMs: 300_000 }).tokenFor('catalog');
      const proof = { [serviceTokenHeader]: token };
      const origins = [system.proxyUrls[0] ?? '', system.monolithUrl, system.catalogUrls[0] ?? ''];
      const odd = async (from: number, to: number) => {
        for (const origin of origins) {
          const { hostname, port } = new URL(origin);
          const send = (head: string) =>
            rawHttp({
              host: hostname,
              port: Number(port),
              bytes: `${head}\r\n${serviceTokenHeader}: ${token}\r\nconnection: close\r\n\r\n`,
            });
          for (let n = from; n < to; n++) {
            await fetch(new URL(`/api/products/${n}?q=${n}`, origin), { headers: proof }).then((answer) =>
              answer.arrayBuffer(),
            );
            await fetch(new URL(`/nothing/${n}/${crypto.randomUUID()}`, origin), { headers: proof }).then((answer) =>
              answer.arrayBuffer(),
            );
            await fetch(new URL(`/api/products/${n}%2f..%2f${n}`, origin), {
              headers: { ...proof, 'x-request-id': `r${n}`, 'x-strangler-force-side': `s${n}` },
            }).then((answer) => answer.arrayBuffer());
            await send(`PROPFIND /api/products HTTP/1.1\r\nhost: h${n}.example`);
            await send(`ODD${n} /api/products HTTP/1.1\r\nhost: h${n}.example`);
          }
        }
      };
      const seriesNow = async () => (await scrape(metricsOf(system))).series;
      // Bounded sets fill up: another status of a known route is a few more.
      await odd(0, 15);
      await seriesNow();
      const before = await seriesNow();
      const more = 60;
      await odd(15, 15 + more);
      expect((await seriesNow()) - before).toBeLessThan(more);
    }, 90_000);

    test('are read by rules that Prometheus itself takes, and that are raised by what they are for', async () => {
      const unpacked = await ensureUnpacked(packageSets.prometheus, { home: stackHome(), say: () => {} });
      const { program, command } = fromPackages(unpacked);
      for (const file of alertFiles) {
        const checked = await runCommand(command(program, ['check', 'rules', file.rules]), { timeoutMs: 30_000 });
        expect(checked).toMatchObject({ code: 0, stderr: '' });
        expect(checked.stdout).toContain(`SUCCESS: ${rulesIn(file).length} rules found`);
        const tested = await runCommand(command(program, ['test', 'rules', file.tests]), { timeoutMs: 60_000 });
        expect(tested).toMatchObject({ code: 0, stdout: expect.stringContaining('SUCCESS') });
      }
    }, 180_000);
  });
};
