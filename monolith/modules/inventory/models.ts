import { DataTypes, type Model, type ModelStatic, type Optional, type Sequelize } from 'sequelize';

/** How many of a product can be sold. A product without a row has never had stock: it counts as 0. */
export type StockLevelRow = {
  product_id: number;
  available: number;
  /** Grows by one with every change of the row. */
  version: number;
  updated_at: Date;
};

/** One change of a stock level. Their deltas add up to `available`. */
export type StockAdjustmentRow = {
  id: number;
  product_id: number;
  delta: number;
  reason: string;
  /** Who did it: the administrator, or the customer whose order it was; null where a job did it. */
  account_id: number | null;
  order_id: number | null;
  created_at: Date;
};

/** What is to be done to the stock because of an order, or of a sale that did not come about. */
export type StockErrandRow = {
  id: number;
  /** Null while there is no order, and where there never will be one. */
  order_id: number | null;
  /** A `hold` becomes a `confirm` with the order, or a `release`. */
  kind: 'hold' | 'confirm' | 'release' | 'give_back';
  reservation_id: string | null;
  account_id: number | null;
  /** JSON. */
  stock_lines: string;
  created_at: Date;
  /** When the service was asked first; it may have done it, whatever is known here. */
  sent_at: Date | null;
  done_at: Date | null;
};

export type StockErrand = Model<StockErrandRow, Optional<StockErrandRow, 'id'>> & StockErrandRow;
export type StockLevel = Model<StockLevelRow, StockLevelRow> & StockLevelRow;
export type StockAdjustment = Model<StockAdjustmentRow, Optional<StockAdjustmentRow, 'id'>> & StockAdjustmentRow;

export type InventoryModels = {
  StockLevel: ModelStatic<StockLevel>;
  StockAdjustment: ModelStatic<StockAdjustment>;
  StockErrand: ModelStatic<StockErrand>;
};

export function defineInventoryModels(sequelize: Sequelize): InventoryModels {
  const StockLevel = sequelize.define<StockLevel>(
    'StockLevel',
    {
      product_id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true },
      available: { type: DataTypes.INTEGER, allowNull: false },
      version: { type: DataTypes.INTEGER.UNSIGNED, allowNull: false },
      updated_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'stock_levels', timestamps: false },
  );
  const StockAdjustment = sequelize.define<StockAdjustment>(
    'StockAdjustment',
    {
      id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true, autoIncrement: true },
      product_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      delta: { type: DataTypes.INTEGER, allowNull: false },
      reason: { type: DataTypes.STRING(200), allowNull: false },
      account_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: true },
      order_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: true },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'stock_adjustments', timestamps: false },
  );
  const StockErrand = sequelize.define<StockErrand>(
    'StockErrand',
    {
      id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true, autoIncrement: true },
      order_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: true },
      kind: { type: DataTypes.STRING(16), allowNull: false },
      reservation_id: { type: DataTypes.STRING(64), allowNull: true },
      account_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: true },
      stock_lines: { type: DataTypes.TEXT, allowNull: false },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
      sent_at: { type: DataTypes.DATE(3), allowNull: true },
      done_at: { type: DataTypes.DATE(3), allowNull: true },
    },
    { tableName: 'stock_errands', timestamps: false },
  );
  return { StockLevel, StockAdjustment, StockErrand };
}
