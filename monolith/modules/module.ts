import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Log } from '@strangler/platform/log.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { createRedis } from '@strangler/platform/redis.ts';
import type { Router } from 'express';
import type { Registry } from 'prom-client';
import type { Sequelize } from 'sequelize';
import type { AccessTokens } from '../auth/access-token.ts';
import type { Auth } from '../auth/auth.ts';
import type { SigningKeys } from '../auth/signing-keys.ts';
import type { Clock } from '../clock.ts';
import type { MonolithConfig } from '../config.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import type { Models } from '../models/index.ts';
import type { Catalogue } from './catalogue/catalogue.ts';
import type { StockClient } from './inventory/owner/stock-client.ts';
import type { TellingSides } from './notifications/owner/telling-sides.ts';
import type { PaymentsClient } from './payments/owner/payments-client.ts';

export type Redis = ReturnType<typeof createRedis>;

/** What every module of the shop is given. */
export type ModuleDeps = {
  sequelize: Sequelize;
  models: Models;
  events: EventRecorder;
  /** Undefined when no REDIS_URL is configured; commands give undefined while Redis is away. */
  redis: Redis | undefined;
  metrics: Registry;
  log: Log;
  config: MonolithConfig;
  clock: Clock;
  auth: Auth;
  accessTokens: AccessTokens;
  signingKeys: SigningKeys;
  catalogue: Catalogue;
  /** Who tells customers of what happens here. */
  tellingSides: TellingSides;
  /** Undefined: the stock is here, and nobody else may have it. */
  /** Whose the orders are; undefined: there are no flags, and they are here. */
  orderOwner: OwnerFollower | undefined;
  stockOwner: { owner: OwnerFollower; client: StockClient } | undefined;
  /** Undefined: the payments are here, and nobody else may have them. */
  paymentOwner: { owner: OwnerFollower; client: PaymentsClient; rabbit: RabbitConnection } | undefined;
};

/** A module of the shop: its routes, and what it runs beside them. */
export type ShopModule = {
  /** Mounted at `/`: each router spells its whole path (`/api/products/:id`), as the OpenAPI document does. */
  routes: Router;
  /** Called once, before the first request is taken. */
  start?(): Promise<void>;
  /** Called once, when the process takes no new requests any more: open streams are to be closed. */
  drain?(): Promise<void>;
  /** Called once, after the last request was answered. */
  stop?(): Promise<void>;
  /** Offered each WebSocket upgrade; returns true when it took the socket. */
  onUpgrade?(request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
};
