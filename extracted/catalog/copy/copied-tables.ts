/** A table of the catalogue, and how its rows are read out of the shop's database. */
export type CopiedTable = {
  name: 'categories' | 'products' | 'reviews';
  /** In the shop, where AUTO_INCREMENT is taken from. */
  sourceTable: string;
  columns: readonly string[];
  /** SELECT of these columns from the shop; `key` is the qualified id that chunks go by. */
  source: { columns: string; from: string; key: string };
};

/** Categories before the products that show their names, products before their reviews. */
export const copiedTables: readonly CopiedTable[] = [
  {
    name: 'categories',
    sourceTable: 'categories',
    columns: ['id', 'parent_id', 'name', 'slug', 'created_at', 'updated_at'],
    source: {
      columns: 'c.id, c.parent_id, c.name, c.slug, c.created_at, c.updated_at',
      from: 'categories c',
      key: 'c.id',
    },
  },
  {
    name: 'products',
    sourceTable: 'products',
    columns: [
      'id',
      'sku',
      'name',
      'description',
      'category_id',
      'category_name',
      'category_slug',
      'price_cents',
      'currency',
      'attributes',
      'active',
      'archived_at',
      'rating_sum',
      'rating_count',
      'rating_average',
      'version',
      'created_at',
      'updated_at',
    ],
    source: {
      columns: [
        'p.id, p.sku, p.name, p.description, p.category_id, c.name AS category_name, c.slug AS category_slug',
        'p.price_cents, p.currency, p.attributes, p.active, p.archived_at, p.rating_sum, p.rating_count',
        'p.rating_average, p.version, p.created_at, p.updated_at',
      ].join(', '),
      from: 'products p JOIN categories c ON c.id = p.category_id',
      key: 'p.id',
    },
  },
  {
    name: 'reviews',
    sourceTable: 'reviews',
    columns: ['id', 'product_id', 'author_id', 'author_name', 'rating', 'title', 'body', 'created_at'],
    source: {
      columns: [
        'r.id, r.product_id, r.account_id AS author_id, a.display_name AS author_name',
        'r.rating, r.title, r.body, r.created_at',
      ].join(', '),
      from: 'reviews r JOIN accounts a ON a.id = r.account_id',
      key: 'r.id',
    },
  },
];
