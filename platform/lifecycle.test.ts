import { EventEmitter } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createLifecycle, type StopPhase, stopPhases } from './lifecycle.ts';
import { createLog } from './log.ts';
import { eventually } from './testing/servers.ts';

function make(graceMs = 5_000) {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({
    name: 'test',
    level: 'trace',
    destination: { write: (line) => void lines.push(JSON.parse(line)) },
  });
  const exits: number[] = [];
  const signals = new EventEmitter();
  const lifecycle = createLifecycle({ log, graceMs, exit: (code) => void exits.push(code), signals });
  return { lifecycle, lines, exits, signals };
}

const forever = () => new Promise(() => {});

describe('stop', () => {
  test('runs the phases in their order, whatever the order in which steps were added', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...stopPhases)), async (phases: StopPhase[]) => {
        const { lifecycle } = make();
        const ran: StopPhase[] = [];
        for (const [at, phase] of phases.entries()) {
          lifecycle.onStop(phase, `step ${at}`, async () => {
            await Promise.resolve();
            ran.push(phase);
          });
        }
        expect(await lifecycle.stop('test')).toEqual({ exitCode: 0, cut: [], failed: [] });
        expect(ran).toEqual(stopPhases.flatMap((phase) => phases.filter((each) => each === phase)));
      }),
      { numRuns: 30 },
    );
  });

  test('goes on after a step that fails, logs it and gives exit code 1', async () => {
    const { lifecycle, lines } = make();
    let closed = false;
    lifecycle.onStop('drain', 'http', () => {
      throw new Error('no');
    });
    lifecycle.onStop('close', 'mysql', () => {
      closed = true;
    });
    expect(await lifecycle.stop('test')).toEqual({ exitCode: 1, cut: [], failed: ['http'] });
    expect(closed).toBe(true);
    expect(lines).toContainEqual(expect.objectContaining({ level: 'error', step: 'http', phase: 'drain' }));
  });

  test('cuts the steps of a phase at the grace time, tells them, names them, and goes on', async () => {
    const { lifecycle, lines } = make(30);
    let told = false;
    let closed = false;
    lifecycle.onStop('finish', 'jobs', ({ signal }) => {
      signal.addEventListener('abort', () => {
        told = true;
      });
      return forever();
    });
    lifecycle.onStop('finish', 'quick', () => {});
    lifecycle.onStop('close', 'mysql', () => {
      closed = true;
    });
    expect(await lifecycle.stop('test')).toEqual({ exitCode: 1, cut: ['jobs'], failed: [] });
    expect([told, closed]).toEqual([true, true]);
    expect(lines).toContainEqual(expect.objectContaining({ level: 'warn', steps: ['jobs'], phase: 'finish' }));
  });

  test('is done once, and draining from its first moment', async () => {
    const { lifecycle, exits } = make();
    let times = 0;
    lifecycle.onStop('drain', 'http', () => {
      times += 1;
      expect(lifecycle.draining()).toBe(true);
    });
    expect(lifecycle.draining()).toBe(false);
    await Promise.all([lifecycle.stop('one'), lifecycle.stop('two')]);
    expect(times).toBe(1);
    expect(exits).toEqual([]);
  });
});

describe('signals', () => {
  test.each(['SIGTERM', 'SIGINT'])('%s stops and exits with 0', async (signal) => {
    const { lifecycle, exits, signals } = make();
    let stopped = false;
    lifecycle.onStop('close', 'mysql', () => {
      stopped = true;
    });
    lifecycle.installSignals();
    signals.emit(signal);
    await eventually(() => expect(exits).toEqual([0]));
    expect(stopped).toBe(true);
  });

  test('a second one exits with 1 at once', () => {
    const { lifecycle, exits, signals } = make(20);
    lifecycle.onStop('drain', 'http', forever);
    lifecycle.installSignals();
    signals.emit('SIGTERM');
    expect(exits).toEqual([]);
    signals.emit('SIGINT');
    expect(exits).toEqual([1]);
  });

  test.each(['uncaughtException', 'unhandledRejection'])(
    '%s is logged as fatal, stops and exits with 1',
    async (event) => {
      const { lifecycle, exits, lines, signals } = make();
      let stopped = false;
      lifecycle.onStop('close', 'mysql', () => {
        stopped = true;
        signals.emit(event, new Error('another one'));
      });
      lifecycle.installSignals();
      signals.emit(event, new Error('broken'));
      await eventually(() => expect(exits).toEqual([1]));
      expect(stopped).toBe(true);
      const fatal = lines.filter(({ level }) => level === 'fatal');
      expect(fatal).toMatchObject([{ err: { message: 'broken' } }, { err: { message: 'another one' } }]);
    },
  );

  test('an exception while a signal’s stop is running makes the exit code 1', async () => {
    const { lifecycle, exits, signals } = make();
    lifecycle.onStop('drain', 'http', () => void signals.emit('uncaughtException', new Error('late')));
    lifecycle.installSignals();
    signals.emit('SIGTERM');
    await eventually(() => expect(exits.length).toBeGreaterThan(0));
    expect(new Set(exits)).toEqual(new Set([1]));
  });

  test('are let go of when asked', () => {
    const { lifecycle, signals } = make();
    const uninstall = lifecycle.installSignals();
    expect(signals.eventNames()).toHaveLength(4);
    uninstall();
    expect(signals.eventNames()).toEqual([]);
  });
});
