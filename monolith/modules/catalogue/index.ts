import { Router } from 'express';
import type { ModuleDeps, ShopModule } from '../module.ts';
import { addCategoryRoutes } from './category-routes.ts';
import { createCategoryService } from './category-service.ts';
import { addProductRoutes } from './product-routes.ts';
import { createProductService } from './product-service.ts';
import { addReviewRoutes } from './review-routes.ts';
import { createReviewService } from './review-service.ts';

/** Products, the categories they are in, and what customers say of them. */
export function createCatalogueModule({ sequelize, models, clock, auth }: ModuleDeps): ShopModule {
  const routes = Router();
  const categories = createCategoryService({ sequelize, models, clock });
  addProductRoutes(routes, { auth, products: createProductService({ sequelize, models, categories, clock }) });
  addCategoryRoutes(routes, { auth, categories });
  addReviewRoutes(routes, { auth, reviews: createReviewService({ sequelize, models, clock }) });
  return { routes };
}
