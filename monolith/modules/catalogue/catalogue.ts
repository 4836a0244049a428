import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { discoveredHttpInstances, fixedHttpInstance } from '@strangler/platform/http/instances.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import type { ServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import type { Registry } from 'prom-client';
import type { Sequelize } from 'sequelize';
import type { AccessTokens } from '../../auth/access-token.ts';
import { createMachineToken } from '../../auth/machine-token.ts';
import type { Clock } from '../../clock.ts';
import { createEventRecorder } from '../../events/event-recorder.ts';
import type { Models } from '../../models/index.ts';
import { shopFence } from '../../shop-fence.ts';
import { type CategoryService, createCategoryService } from './category-service.ts';
import { type CatalogueClient, createCatalogueClient, noCatalogueClient } from './owner/catalogue-client.ts';
import { type CatalogueWrites, writesOfOwner } from './owner/catalogue-writes.ts';
import { localWrites } from './owner/local-writes.ts';
import {
  localProductReader,
  type ProductReader,
  productReaderOfStage,
  remoteProductReader,
} from './owner/product-reader.ts';
import { remoteWrites } from './owner/remote-writes.ts';
import { createProductService, type ProductService } from './product-service.ts';
import { createReviewService, type ReviewService } from './review-service.ts';

/** The catalogue as the rest of the shop sees it, wherever its tables are. */
export type Catalogue = {
  /** Undefined: there are no flags, and all of it is here. */
  owner: OwnerFollower | undefined;
  writes: CatalogueWrites;
  /** What carts, checkout, orders and inventory know of products. */
  productReader: ProductReader;
  /** To the service, once there is one. */
  client: CatalogueClient;
  /** Reads of the shop's own tables. */
  products: Pick<ProductService, 'list' | 'get'>;
  categories: Pick<CategoryService, 'tree'>;
  reviews: Pick<ReviewService, 'list'>;
  close(): Promise<void>;
};

export type CatalogueParts = {
  sequelize: Sequelize;
  models: Models;
  clock: Clock;
  accessTokens: AccessTokens;
  metrics: Registry;
  log: Log;
  owner: OwnerFollower | undefined;
  /** Where the service is, unless Consul is asked. */
  catalogUrl: string | undefined;
  /** The service's name in Consul. */
  service: string;
  consul: ConsulClient | undefined;
  trust: Pick<ServiceTrust, 'headersFor'>;
  /** How long a write may wait while the ownership is moved. */
  waitMs: number;
};

export function createCatalogue(parts: CatalogueParts): Catalogue {
  const { sequelize, models, clock, owner, waitMs } = parts;
  const events = createEventRecorder(sequelize, { epoch: () => owner?.now()?.epoch ?? 1 });
  const categories = createCategoryService({ sequelize, models, events, clock });
  const products = createProductService({ sequelize, models, categories, events, clock });
  const reviews = createReviewService({ sequelize, models, events, clock });
  const { client, close } = openClient(parts);
  const machineToken = createMachineToken(parts.accessTokens);
  const writes = writesOfOwner({
    owner,
    fence: owner && shopFence(sequelize, owner.slice),
    local: localWrites({ sequelize, events, clock, products, categories, reviews }),
    remote: (epoch) => remoteWrites({ client, machineToken, epoch }),
    waitMs,
  });
  const productReader = productReaderOfStage(owner, {
    local: localProductReader(models),
    remote: remoteProductReader({ client, machineToken }),
  });
  return { owner, writes, productReader, client, products, categories, reviews, close };
}

function openClient({ owner, catalogUrl, service, consul, trust, metrics, log }: CatalogueParts) {
  const instances =
    owner === undefined
      ? undefined
      : catalogUrl !== undefined
        ? fixedHttpInstance(catalogUrl)
        : consul && discoveredHttpInstances({ consul, service, log });
  if (instances === undefined) return { client: noCatalogueClient, close: async () => {} };
  const client = createCatalogueClient({ instances, trustHeaders: () => trust.headersFor(service), metrics });
  return {
    client,
    close: async () => {
      await instances.stop();
      await client.close();
    },
  };
}
