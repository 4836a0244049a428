import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { Registry } from 'prom-client';
import { type Compartment, createCompartment, createCompartmentMetrics, NotSent } from './compartment.ts';

let registry: Registry;
let compartment: Compartment;
beforeEach(() => {
  registry = new Registry();
  const metrics = createCompartmentMetrics(registry);
  compartment = createCompartment({ name: 'callers', capacity: 3, resetMs: 60, volume: 4, metrics });
});
afterEach(() => compartment.close());

const works = () => compartment.run(async () => 'done');
const fails = () =>
  compartment.run(async () => {
    throw new Error('the provider is broken');
  });
const breakIt = async () => {
  for (let n = 0; n < 4; n += 1) await expect(fails()).rejects.toThrow('broken');
};

describe('a compartment', () => {
  test('that is full refuses at once, and has room again when a call ends', async () => {
    const end: (() => void)[] = [];
    const calls = [1, 2, 3].map(() => compartment.run(() => new Promise<void>((resolve) => end.push(resolve))));
    await expect(works()).rejects.toBeInstanceOf(NotSent);
    end[0]?.();
    await calls[0];
    expect(await works()).toBe('done');
    for (const finish of end) finish();
    await Promise.all(calls);
    expect(await registry.metrics()).toContain(
      'payments_provider_calls_refused_total{compartment="callers",cause="full"} 1',
    );
  });

  test('being full is no failure of the provider: the circuit stays closed', async () => {
    const end: (() => void)[] = [];
    const calls = [1, 2, 3].map(() => compartment.run(() => new Promise<void>((resolve) => end.push(resolve))));
    for (let n = 0; n < 20; n += 1) await expect(works()).rejects.toBeInstanceOf(NotSent);
    expect(compartment.state()).toBe('closed');
    for (const finish of end) finish();
    await Promise.all(calls);
  });

  test('opens when too many calls fail, and says that nothing was sent', async () => {
    await breakIt();
    expect(compartment.state()).toBe('open');
    let called = false;
    const refused = compartment.run(async () => {
      called = true;
    });
    await expect(refused).rejects.toMatchObject({ name: 'NotSent', retryAfterMs: 60 });
    expect(called).toBe(false);
    expect(await registry.metrics()).toContain('payments_provider_circuit{compartment="callers"} 2');
  });

  test('lets one call try when its time is over, and closes when that one works', async () => {
    await breakIt();
    await eventually(() => expect(compartment.state()).toBe('half_open'));
    let finish = () => {};
    const trial = compartment.run(() => new Promise<void>((resolve) => (finish = resolve)));
    await expect(works()).rejects.toBeInstanceOf(NotSent);
    finish();
    await trial;
    expect(compartment.state()).toBe('closed');
    expect(await works()).toBe('done');
  });

  test('opens again when the trial fails', async () => {
    await breakIt();
    await eventually(() => expect(compartment.state()).toBe('half_open'));
    await expect(fails()).rejects.toThrow('broken');
    expect(compartment.state()).toBe('open');
  });
});
