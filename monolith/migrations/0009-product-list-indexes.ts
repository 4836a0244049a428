import type { MigrationArguments } from '../migration.ts';

// One index a sort order, each ending in the primary key, so that a page is read in order and never sorted. The category
// index covers the product counts of the category tree.
export async function up({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(`
    ALTER TABLE products
      ADD KEY products_by_name (name, id),
      ADD KEY products_by_price (price_cents, id),
      ADD KEY products_by_rating (rating_average, id),
      ADD KEY products_by_age (created_at, id),
      ADD KEY products_category_shown (category_id, active, archived_at),
      DROP KEY products_category
  `);
}

export async function down({ context: { sequelize } }: MigrationArguments): Promise<void> {
  await sequelize.query(`
    ALTER TABLE products
      ADD KEY products_category (category_id),
      DROP KEY products_by_name,
      DROP KEY products_by_price,
      DROP KEY products_by_rating,
      DROP KEY products_by_age,
      DROP KEY products_category_shown
  `);
}
