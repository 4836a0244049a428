import { Router } from 'express';
import type { ModuleDeps, ShopModule } from '../module.ts';
import { addSettingRoutes } from './routes.ts';
import { createSettingsService } from './settings-service.ts';

/** What the shop's admins can change without a deployment. */
export function createSettingsModule({ models, redis, clock, log, auth }: ModuleDeps): ShopModule {
  const routes = Router();
  addSettingRoutes(routes, { auth, settings: createSettingsService({ models, redis, clock, log }) });
  return { routes };
}
