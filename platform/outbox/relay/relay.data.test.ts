import { afterEach, describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { eventually } from '../../testing/servers.ts';
import {
  anEvent,
  firstHeard,
  listen,
  type OutboxFixture,
  outboxFixture,
  outOfOrder,
  pendingRows,
  recordAll,
} from '../testing/fixture.ts';
import { type Relay, type RelayOptions, startRelay } from './relay.ts';

let fixture: OutboxFixture;

afterEach(async () => {
  await fixture?.close();
});

async function start(options: Partial<RelayOptions> = {}): Promise<{ relay: Relay; metrics: Registry }> {
  const metrics = new Registry();
  const { db, rabbit, exchange, log } = fixture;
  const relay = await startRelay({
    db,
    rabbit,
    exchange,
    relayId: 'test',
    log,
    metrics,
    leaseTimes: { ttlMs: 2000, renewEveryMs: 100 },
    ...options,
  });
  fixture.onClose(() => relay.stop(5_000));
  return { relay, metrics };
}

async function metric(metrics: Registry, name: string): Promise<number> {
  const { values } = (await metrics.getSingleMetric(name)?.get()) ?? { values: [] };
  return values.reduce((sum, { value }) => sum + value, 0);
}

const someKeys = (count: number) => Array.from({ length: count }, (_, n) => `k${n}`);

test('every committed row reaches the exchange with its id, key, trace and version, and is marked', async () => {
  fixture = await outboxFixture('relay');
  const name = fixture.named('all');
  await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none' }] });
  const heard = await listen(fixture, name);
  const { metrics } = await start();
  await recordAll(fixture.db, [anEvent('a', { n: 1 }), anEvent('😀 b', { n: 2 })]);
  await eventually(async () => heard.length === 2 && (await pendingRows(fixture.db)) === 0);
  const told = heard.find(({ key }) => key === '😀 b')!;
  expect(told).toMatchObject({
    routingKey: 'shop.thing.changed',
    body: { type: 'thing.changed', schema_version: 1, aggregate: 'thing', key: '😀 b', data: { n: 2 } },
  });
  const { properties } = told.message;
  expect(properties).toMatchObject({ deliveryMode: 2, contentType: 'application/json', type: 'thing.changed' });
  expect(properties.headers).toMatchObject({ 'x-strangler-version': `1/${told.id}`, 'x-strangler-kind': 'event' });
  expect(told.body.version).toEqual({ epoch: 1, id: String(told.id) });
  expect(await metric(metrics, 'relay_published_total')).toBe(2);
  expect(await metric(metrics, 'relay_lag_seconds')).toBe(0);
});

test('a backlog of many rows of few keys leaves whole and in order', async () => {
  fixture = await outboxFixture('backlog');
  const name = fixture.named('all');
  await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none' }] });
  const keys = someKeys(40);
  for (let n = 0; n < 100; n += 1)
    await recordAll(
      fixture.db,
      keys.map((key) => anEvent(key, { n })),
    );
  const heard = await listen(fixture, name);
  await start({
    bounds: { maxReadRows: 300, maxHeldPerPart: 200, maxUnconfirmed: 50, maxMarkRows: 70 },
  });
  await eventually(async () => (await pendingRows(fixture.db)) === 0);
  await eventually(() => heard.length >= 4000);
  const byKey = firstHeard(heard);
  expect(outOfOrder(byKey)).toBeUndefined();
  expect([...byKey.values()].map(({ length }) => length)).toEqual(keys.map(() => 100));
});

describe('a row that no queue takes', () => {
  test('stays unmarked and is counted, and leaves in order when there is a queue', async () => {
    fixture = await outboxFixture('returned');
    await fixture.declare({ consumers: [] });
    const { metrics } = await start();
    await recordAll(
      fixture.db,
      someKeys(5).flatMap((key) => [1, 2, 3].map((n) => anEvent(key, { n }))),
    );
    await eventually(async () => (await metric(metrics, 'relay_refused_total')) >= 10);
    expect(await pendingRows(fixture.db)).toBe(15);
    expect(await metric(metrics, 'relay_published_total')).toBe(0);
    const name = fixture.named('late');
    await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none' }] });
    const heard = await listen(fixture, name);
    await eventually(async () => (await pendingRows(fixture.db)) === 0);
    await eventually(() => heard.length >= 15);
    expect(outOfOrder(firstHeard(heard))).toBeUndefined();
  });
});

describe('a row that a full queue refuses', () => {
  test('stays unmarked, and nothing later of its key goes ahead of it', async () => {
    fixture = await outboxFixture('nacked');
    const name = fixture.named('small');
    await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none', maxLength: 3 }] });
    const { metrics } = await start();
    const keys = someKeys(6);
    for (let n = 0; n < 10; n += 1)
      await recordAll(
        fixture.db,
        keys.map((key) => anEvent(key, { n })),
      );
    await eventually(async () => (await metric(metrics, 'relay_refused_total')) >= 5);
    expect(await pendingRows(fixture.db)).toBeGreaterThan(0);
    const heard = await listen(fixture, name);
    await eventually(async () => (await pendingRows(fixture.db)) === 0, { withinMs: 60_000 });
    await eventually(() => new Set(heard.map(({ id }) => id)).size === 60);
    expect(outOfOrder(firstHeard(heard))).toBeUndefined();
  });
});

test('a row that cannot be sent waits with its key; others go on', async () => {
  fixture = await outboxFixture('unsendable');
  const name = fixture.named('all');
  await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none' }] });
  const heard = await listen(fixture, name);
  const { metrics } = await start({ bounds: { maxMessageBytes: 2_000 } });
  await recordAll(fixture.db, [anEvent('large', { text: 'x'.repeat(2_000) }), anEvent('large'), anEvent('small')]);
  await eventually(async () => (await metric(metrics, 'relay_refused_total')) >= 2);
  await eventually(() => heard.length === 1);
  expect(heard[0]?.key).toBe('small');
  await eventually(async () => (await pendingRows(fixture.db)) === 2);
});

test('relays share the parts evenly, and whoever stops gives its own back at once', async () => {
  fixture = await outboxFixture('share');
  const name = fixture.named('all');
  await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none' }] });
  const heard = await listen(fixture, name);
  // The time of a lease is out of reach of the test: what changes hands is given back.
  const leaseTimes = { ttlMs: 600_000, renewEveryMs: 50 };
  const { relay: one } = await start({ leaseTimes, relayId: 'one' });
  await eventually(() => one.parts().length === 16);
  const { relay: two } = await start({ leaseTimes, relayId: 'two' });
  const { relay: three } = await start({ leaseTimes, relayId: 'three' });
  const all = [one, two, three];
  const counts = () => all.map((relay) => relay.parts().length).sort();
  let n = 0;
  await eventually(async () => {
    // Work under way while parts change hands.
    await recordAll(
      fixture.db,
      someKeys(30).map((key) => anEvent(key, { n: n++ })),
    );
    return `${counts()}` === '5,5,6';
  });
  await one.stop(5_000);
  await eventually(() => two.parts().length === 8 && three.parts().length === 8);
  await eventually(async () => (await pendingRows(fixture.db)) === 0);
  await eventually(() => new Set(heard.map(({ id }) => id)).size === n);
  expect(outOfOrder(firstHeard(heard))).toBeUndefined();
  // Nothing changed hands with messages on their way: not one was sent twice.
  expect(heard.length).toBe(n);
});

test('a notified relay looks at once, however long its poll', async () => {
  fixture = await outboxFixture('notify');
  const name = fixture.named('all');
  await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none' }] });
  const heard = await listen(fixture, name);
  const { relay } = await start({ pace: { minMs: 600_000, maxMs: 600_000 } });
  await eventually(() => relay.parts().length === 16 && relay.trouble() === undefined);
  await recordAll(fixture.db, [anEvent('a')]);
  await eventually(() => {
    relay.notify();
    return heard.length === 1;
  });
});
