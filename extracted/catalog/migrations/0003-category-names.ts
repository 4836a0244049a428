import type { SchemaMigration } from '@strangler/platform/mysql/schema-migrations.ts';

// The name and slug that products keep of their category are the database's to maintain: rows come from the service and,
// by the pipe, from the shop, where products have no such columns; in any order, table by table and side by side.
//
// Whoever writes a product reads the category with a lock, and whoever changes a category changes its products: of the two,
// the later one waits for the other and sees what it did. A category that is not there yet leaves nothing to lock, so the
// one row of `category_turns` is locked in its place: by a product that does not find its category, before it looks again,
// and by a category before it is added.

// To the letter: the columns' collation takes different spellings for the same.
const differs = (one: string, other: string): string => `CAST(${one} AS BINARY) <> CAST(${other} AS BINARY)`;

const nextTurn = 'SELECT id INTO turn FROM category_turns WHERE id = 1 FOR UPDATE;';

const find = `SELECT name, slug INTO found_name, found_slug FROM categories WHERE id = NEW.category_id LOCK IN SHARE MODE;`;

const takeNames = (condition: string): string => `
  BEGIN
    DECLARE found_name, found_slug VARCHAR(100) CHARACTER SET utf8mb4;
    DECLARE turn TINYINT;
    DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END;
    IF ${condition} THEN
      ${find}
      IF found_name IS NULL THEN
        ${nextTurn}
        ${find}
      END IF;
      SET NEW.category_name = COALESCE(found_name, ''), NEW.category_slug = COALESCE(found_slug, '');
    END IF;
  END`;

const giveNames = 'UPDATE products SET category_name = NEW.name, category_slug = NEW.slug WHERE category_id = NEW.id;';

const triggers: readonly (readonly [name: string, when: string, body: string])[] = [
  ['products_category_added', 'BEFORE INSERT ON products', takeNames('TRUE')],
  [
    'products_category_changed',
    'BEFORE UPDATE ON products',
    // Also where somebody writes the names themselves: they are the category's, whatever is written.
    takeNames(
      [
        'NEW.category_id <> OLD.category_id',
        differs('NEW.category_name', 'OLD.category_name'),
        differs('NEW.category_slug', 'OLD.category_slug'),
      ].join(' OR '),
    ),
  ],
  [
    'categories_turn',
    'BEFORE INSERT ON categories',
    `
  BEGIN
    DECLARE turn TINYINT;
    ${nextTurn}
  END`,
  ],
  ['categories_added', 'AFTER INSERT ON categories', giveNames],
  [
    'categories_changed',
    'AFTER UPDATE ON categories',
    `
  BEGIN
    IF ${differs('NEW.name', 'OLD.name')} OR ${differs('NEW.slug', 'OLD.slug')} THEN
      ${giveNames}
    END IF;
  END`,
  ],
];

export const up: SchemaMigration = async ({ context: { sequelize } }) => {
  await sequelize.query(`
    ALTER TABLE products
      MODIFY COLUMN category_name VARCHAR(100) NOT NULL DEFAULT '',
      MODIFY COLUMN category_slug VARCHAR(100) NOT NULL DEFAULT ''
  `);
  await sequelize.query('CREATE TABLE category_turns (id TINYINT NOT NULL PRIMARY KEY) ENGINE=InnoDB');
  await sequelize.query('INSERT INTO category_turns (id) VALUES (1)');
  for (const [name, when, body] of triggers) {
    await sequelize.query(`CREATE TRIGGER ${name} ${when} FOR EACH ROW ${body}`);
  }
};

export const down: SchemaMigration = async ({ context: { sequelize } }) => {
  for (const [name] of triggers) await sequelize.query(`DROP TRIGGER ${name}`);
  await sequelize.query('DROP TABLE category_turns');
  await sequelize.query(`
    ALTER TABLE products
      MODIFY COLUMN category_name VARCHAR(100) NOT NULL,
      MODIFY COLUMN category_slug VARCHAR(100) NOT NULL
  `);
};
