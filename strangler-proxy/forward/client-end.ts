import type { ServerResponse } from 'node:http';

/** Told when the client's answer has gone out whole, or the client has gone. */
export type ClientWatcher = { clientClosed(): void };

const watcherKey = Symbol('watcher of the client');
type Watched = ServerResponse & { [watcherKey]?: ClientWatcher };

/**
 * Tells `watcher` of the client's end from now on, in place of the attempt before it. One listener a response, which all share.
 * Says whether it is the response's first.
 */
export function watchClient(res: ServerResponse, watcher: ClientWatcher): boolean {
  const isFirst = (res as Watched)[watcherKey] === undefined;
  if (isFirst) res.on('close', onClientClose);
  (res as Watched)[watcherKey] = watcher;
  return isFirst;
}

function onClientClose(this: Watched): void {
  this[watcherKey]?.clientClosed();
}
