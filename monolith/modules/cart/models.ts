import { DataTypes, type Model, type ModelStatic, type Sequelize } from 'sequelize';

/** The one cart of an account. Whoever changes its items, or sells them, locks this row first. */
export type CartRow = { account_id: number; updated_at: Date };

export type CartItemRow = { account_id: number; product_id: number; quantity: number; added_at: Date };

/** What a sale by another system took out of a cart, and whether it was put back. */
export type CartSaleRow = {
  id: string;
  account_id: number;
  state: 'taken' | 'returned';
  /** JSON: the lines as they were. */
  cart_lines: string;
  created_at: Date;
};

export type Cart = Model<CartRow, CartRow> & CartRow;
export type CartSale = Model<CartSaleRow, CartSaleRow> & CartSaleRow;
export type CartItem = Model<CartItemRow, CartItemRow> & CartItemRow;

export type CartModels = { Cart: ModelStatic<Cart>; CartItem: ModelStatic<CartItem>; CartSale: ModelStatic<CartSale> };

export function defineCartModels(sequelize: Sequelize): CartModels {
  const Cart = sequelize.define<Cart>(
    'Cart',
    {
      account_id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true },
      updated_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'carts', timestamps: false },
  );
  const CartItem = sequelize.define<CartItem>(
    'CartItem',
    {
      account_id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true },
      product_id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true },
      quantity: { type: DataTypes.INTEGER.UNSIGNED, allowNull: false },
      added_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'cart_items', timestamps: false },
  );
  const CartSale = sequelize.define<CartSale>(
    'CartSale',
    {
      id: { type: DataTypes.STRING(64), primaryKey: true },
      account_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      state: { type: DataTypes.STRING(16), allowNull: false },
      cart_lines: { type: DataTypes.TEXT, allowNull: false },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'cart_sales', timestamps: false },
  );
  return { Cart, CartItem, CartSale };
}
