import { Router } from 'express';
import type { ModuleDeps, ShopModule } from '../module.ts';
import { addCategoryRoutes } from './category-routes.ts';
import { readFromOwner } from './owner/read-from-owner.ts';
import { addProductRoutes } from './product-routes.ts';
import { addReviewRoutes } from './review-routes.ts';

/** Products, the categories they are in, and what customers say of them. */
export function createCatalogueModule({ catalogue, auth, log }: ModuleDeps): ShopModule {
  const { products, categories, reviews, writes } = catalogue;
  const routes = Router();
  routes.use(['/api/products', '/api/categories'], readFromOwner({ ...catalogue, log }));
  addProductRoutes(routes, { auth, products, writes });
  addCategoryRoutes(routes, { auth, categories, writes });
  addReviewRoutes(routes, { auth, reviews, writes });
  return { routes };
}
