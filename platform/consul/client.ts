import type { Log } from '../log.ts';
import { type Connection, openConnection } from './connection.ts';
import { createKv, type Kv } from './kv.ts';

export type ConsulClient = {
  readonly url: string;
  readonly log: Log;
  readonly kv: Kv;
  /** The sockets that short calls share. */
  readonly connection: Connection;
  /** One socket for one blocking query, so that watches never wait for each other; close it when done. */
  dedicated(): Connection;
  /** Cuts the shared sockets. Watches, registrations and sessions are stopped by their own handles. */
  close(): void;
};

export type ConsulOptions = {
  /** Of the agent, such as `http://127.0.0.1:8500`. */
  url: string;
  token?: string;
  log: Log;
  /** Bound of a short call, 5000 ms unless told; blocking queries bound themselves. */
  timeoutMs?: number;
  /** Bound of the shared sockets, 16 unless told. */
  maxSockets?: number;
};

/** A client of one Consul agent (1.8 or newer). Opens nothing until it is used. */
export function createConsul({ url, token, log, timeoutMs = 5000, maxSockets = 16 }: ConsulOptions): ConsulClient {
  const { protocol, origin, pathname } = new URL(url);
  if ((protocol !== 'http:' && protocol !== 'https:') || pathname !== '/') {
    throw new TypeError(
      `Consul's address: expected http(s)://host:port without a path, found ${protocol}//…${pathname}`,
    );
  }
  const connect = (sockets: number) =>
    openConnection({ url: origin, timeoutMs, maxSockets: sockets, ...(token === undefined ? {} : { token }) });
  const connection = connect(maxSockets);
  return {
    url: origin,
    log,
    kv: createKv(connection),
    connection,
    dedicated: () => connect(1),
    close: () => connection.close(),
  };
}
