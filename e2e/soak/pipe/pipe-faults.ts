import type { PipeProcess } from '@strangler/migrations/testing/start-pipe.ts';
import type { TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { crashed, type Fault, frozen, together } from '../faults.ts';

/** The ways of the processes to the servers, each through a proxy of its own. */
export type Ways = {
  'relay to source': TcpProxy;
  'relay to broker': TcpProxy;
  'applier to source': TcpProxy;
  'applier to target': TcpProxy;
  'applier to broker': TcpProxy;
  'copy to source': TcpProxy;
  'copy to target': TcpProxy;
};
export type Way = keyof Ways;

const killed = (process: PipeProcess): Fault => ({
  name: `${process.name} killed`,
  begin: () => process.kill(),
  end: () => process.start(),
});

const stopped = (process: PipeProcess): Fault => ({
  name: `${process.name} frozen`,
  begin: async () => process.signal('SIGSTOP'),
  end: async () => process.signal('SIGCONT'),
});

/**
 * `silent`: nothing gets through, and all of it later. `lost`: nothing gets through, and nothing of it ever. `without
 * answers`: what is sent arrives, and what the server did is never known.
 */
type Break = 'cut' | 'refused' | 'silent' | 'lost' | 'without answers';

const broken = (ways: Ways, way: Way, how: Break): Fault => ({
  name: `${way} ${how}`,
  begin: async () => {
    const proxy = ways[way];
    if (how === 'cut') proxy.cut();
    else if (how === 'refused') await proxy.refuse();
    else if (how === 'without answers') proxy.holdAnswers();
    else await proxy.stall();
  },
  end: async () => {
    const proxy = ways[way];
    if (how === 'without answers' || how === 'lost') proxy.cut();
    await proxy.pass();
  },
});

/** All that the soak breaks; servers only where they are its own. */
export function pipeFaults(options: {
  relays: readonly PipeProcess[];
  appliers: readonly PipeProcess[];
  ways: Ways;
  /** The instance whose servers may be killed; undefined: none. */
  instance: string | undefined;
}): Fault[] {
  const { relays, appliers, ways, instance } = options;
  const [relay, otherRelay] = relays as [PipeProcess, PipeProcess];
  const [applier, otherApplier] = appliers as [PipeProcess, PipeProcess];
  const faults: Fault[] = [
    killed(applier),
    killed(relay),
    broken(ways, 'applier to target', 'without answers'),
    stopped(relay),
    broken(ways, 'relay to broker', 'lost'),
    stopped(applier),
    broken(ways, 'applier to broker', 'cut'),
    together(killed(relay), killed(otherRelay)),
    broken(ways, 'applier to target', 'refused'),
    broken(ways, 'relay to source', 'cut'),
    together(killed(applier), killed(otherApplier)),
    broken(ways, 'copy to target', 'cut'),
    stopped(otherApplier),
    broken(ways, 'relay to broker', 'silent'),
    killed(otherRelay),
    broken(ways, 'applier to source', 'refused'),
    broken(ways, 'relay to source', 'without answers'),
    killed(otherApplier),
    broken(ways, 'copy to source', 'refused'),
    broken(ways, 'applier to broker', 'silent'),
    stopped(otherRelay),
    together(killed(relay), killed(applier)),
    broken(ways, 'applier to target', 'silent'),
    broken(ways, 'relay to broker', 'cut'),
    broken(ways, 'relay to source', 'silent'),
    broken(ways, 'relay to broker', 'refused'),
    broken(ways, 'applier to target', 'lost'),
    broken(ways, 'relay to source', 'lost'),
  ];
  if (instance === undefined) return faults;
  const ofServers = [
    crashed(instance, 'rabbitmq'),
    crashed(instance, 'mysql'),
    frozen(instance, 'rabbitmq'),
    frozen(instance, 'mysql'),
    together(crashed(instance, 'rabbitmq'), killed(relay)),
    together(crashed(instance, 'mysql'), killed(applier)),
  ];
  // One of them after every third of the others.
  return faults.flatMap((fault, at) => {
    const next = at % 3 === 2 ? ofServers[Math.floor(at / 3) % ofServers.length] : undefined;
    return next === undefined ? [fault] : [fault, next];
  });
}
