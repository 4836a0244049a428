import type { Sequelize } from 'sequelize';
import { type AccountsModels, defineAccountsModels } from '../modules/accounts/models.ts';
import { type CartModels, defineCartModels } from '../modules/cart/models.ts';
import { type CatalogueModels, defineCatalogueModels } from '../modules/catalogue/models.ts';
import { type CheckoutModels, defineCheckoutModels } from '../modules/checkout/models.ts';
import { defineInventoryModels, type InventoryModels } from '../modules/inventory/models.ts';
import { defineNotificationsModels, type NotificationsModels } from '../modules/notifications/models.ts';
import { defineOrdersModels, type OrdersModels } from '../modules/orders/models.ts';
import { definePaymentsModels, type PaymentsModels } from '../modules/payments/models.ts';
import { defineSettingsModels, type SettingsModels } from '../modules/settings/models.ts';

export type Models = AccountsModels &
  CatalogueModels &
  SettingsModels &
  InventoryModels &
  CartModels &
  CheckoutModels &
  OrdersModels &
  PaymentsModels &
  NotificationsModels;

/**
 * Defines the models of every module on one connection, then the associations that cross modules.
 * Associations within a module are made by the module itself.
 */
export function defineModels(sequelize: Sequelize): Models {
  const models: Models = {
    ...defineAccountsModels(sequelize),
    ...defineCatalogueModels(sequelize),
    ...defineSettingsModels(sequelize),
    ...defineInventoryModels(sequelize),
    ...defineCartModels(sequelize),
    ...defineCheckoutModels(sequelize),
    ...defineOrdersModels(sequelize),
    ...definePaymentsModels(sequelize),
    ...defineNotificationsModels(sequelize),
  };

  models.Review.belongsTo(models.Account, { as: 'author', foreignKey: 'account_id' });
  models.Order.belongsTo(models.Account, { as: 'customer', foreignKey: 'account_id' });

  return models;
}
