import { DataTypes, type Model, type ModelStatic, type Optional, type Sequelize } from 'sequelize';

export type CategoryRow = {
  id: number;
  parent_id: number | null;
  name: string;
  slug: string;
  created_at: Date;
  updated_at: Date;
};

export type ProductRow = {
  id: number;
  sku: string;
  name: string;
  description: string;
  category_id: number;
  price_cents: number;
  currency: string;
  /** An object; MariaDB hands it over as JSON text, MySQL as a value: read it through `attributesOf`. */
  attributes: unknown;
  active: boolean;
  /** Deleted products stay as rows, because orders refer to them; nothing shows or sells them. */
  archived_at: Date | null;
  rating_sum: number;
  rating_count: number;
  /** `rating_sum / rating_count` to two decimals, kept because lists are sorted by it. DECIMAL: comes as a string. */
  rating_average: string | number;
  /** Grows by one with every change of the row: optimistic locking and the ETag stand on it. */
  version: number;
  created_at: Date;
  updated_at: Date;
};

export type ReviewRow = {
  id: number;
  product_id: number;
  account_id: number;
  rating: number;
  title: string;
  body: string;
  created_at: Date;
};

export type Category = Model<CategoryRow, Optional<CategoryRow, 'id'>> & CategoryRow;
export type Product = Model<
  ProductRow,
  Optional<ProductRow, 'id' | 'archived_at' | 'rating_sum' | 'rating_count' | 'rating_average' | 'version'>
> &
  ProductRow & { category?: Category };
export type Review = Model<ReviewRow, Optional<ReviewRow, 'id'>> & ReviewRow & { author?: { display_name: string } };

export type CatalogueModels = {
  Category: ModelStatic<Category>;
  Product: ModelStatic<Product>;
  Review: ModelStatic<Review>;
};

export function defineCatalogueModels(sequelize: Sequelize): CatalogueModels {
  const Category = sequelize.define<Category>(
    'Category',
    {
      id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true, autoIncrement: true },
      parent_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: true },
      name: { type: DataTypes.STRING(100), allowNull: false },
      slug: { type: DataTypes.STRING(100), allowNull: false },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
      updated_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'categories', timestamps: false },
  );
  const Product = sequelize.define<Product>(
    'Product',
    {
      id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true, autoIncrement: true },
      sku: { type: DataTypes.STRING(64), allowNull: false },
      name: { type: DataTypes.STRING(200), allowNull: false },
      description: { type: DataTypes.TEXT, allowNull: false },
      category_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      price_cents: { type: DataTypes.INTEGER.UNSIGNED, allowNull: false },
      currency: { type: DataTypes.CHAR(3), allowNull: false },
      attributes: { type: DataTypes.JSON, allowNull: false },
      active: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: true },
      archived_at: { type: DataTypes.DATE(3), allowNull: true },
      rating_sum: { type: DataTypes.INTEGER.UNSIGNED, allowNull: false, defaultValue: 0 },
      rating_count: { type: DataTypes.INTEGER.UNSIGNED, allowNull: false, defaultValue: 0 },
      rating_average: { type: DataTypes.DECIMAL(3, 2), allowNull: false, defaultValue: 0 },
      version: { type: DataTypes.INTEGER.UNSIGNED, allowNull: false, defaultValue: 1 },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
      updated_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'products', timestamps: false },
  );
  const Review = sequelize.define<Review>(
    'Review',
    {
      id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true, autoIncrement: true },
      product_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      account_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      rating: { type: DataTypes.TINYINT.UNSIGNED, allowNull: false },
      title: { type: DataTypes.STRING(120), allowNull: false },
      body: { type: DataTypes.TEXT, allowNull: false },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'reviews', timestamps: false },
  );
  Product.belongsTo(Category, { as: 'category', foreignKey: 'category_id' });
  Review.belongsTo(Product, { as: 'product', foreignKey: 'product_id' });
  return { Category, Product, Review };
}
