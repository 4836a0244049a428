import { DataTypes, type Model, type ModelStatic, type Optional, type Sequelize } from 'sequelize';

/**
 * `awaiting_payment` → `paid` → `shipped`, or `cancelled` from either of the first two. Stock is held from the first state
 * on, and given back on the way to `cancelled`.
 */
export const orderStatuses = ['awaiting_payment', 'paid', 'shipped', 'cancelled'] as const;
export type OrderStatus = (typeof orderStatuses)[number];
export type CancelReason = 'customer' | 'admin' | 'payment_failed';

export type OrderRow = {
  id: number;
  account_id: number;
  status: OrderStatus;
  total_cents: number;
  currency: string;
  cancel_reason: CancelReason | null;
  /** Grows by one with every change of the row. */
  version: number;
  created_at: Date;
  updated_at: Date;
};

/** A line of an order. Name and price are those of the moment in which it was placed. */
export type OrderItemRow = {
  order_id: number;
  product_id: number;
  name: string;
  unit_price_cents: number;
  quantity: number;
};

export type OrderItem = Model<OrderItemRow, OrderItemRow> & OrderItemRow;
export type Order = Model<OrderRow, Optional<OrderRow, 'id' | 'cancel_reason' | 'version'>> &
  OrderRow & {
    items?: OrderItem[];
    customer?: { id: number; email: string; display_name: string };
  };

export type OrdersModels = { Order: ModelStatic<Order>; OrderItem: ModelStatic<OrderItem> };

export function defineOrdersModels(sequelize: Sequelize): OrdersModels {
  const Order = sequelize.define<Order>(
    'Order',
    {
      id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true, autoIncrement: true },
      account_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      status: { type: DataTypes.STRING(20), allowNull: false },
      total_cents: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      currency: { type: DataTypes.CHAR(3), allowNull: false },
      cancel_reason: { type: DataTypes.STRING(20), allowNull: true },
      version: { type: DataTypes.INTEGER.UNSIGNED, allowNull: false, defaultValue: 1 },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
      updated_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'orders', timestamps: false },
  );
  const OrderItem = sequelize.define<OrderItem>(
    'OrderItem',
    {
      order_id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true },
      product_id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true },
      name: { type: DataTypes.STRING(200), allowNull: false },
      unit_price_cents: { type: DataTypes.INTEGER.UNSIGNED, allowNull: false },
      quantity: { type: DataTypes.INTEGER.UNSIGNED, allowNull: false },
    },
    { tableName: 'order_items', timestamps: false },
  );
  Order.hasMany(OrderItem, { as: 'items', foreignKey: 'order_id' });
  return { Order, OrderItem };
}
