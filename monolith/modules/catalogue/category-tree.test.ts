import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type CategoryNode, type CategoryTree, categoryTree, wouldMakeCycle } from './category-tree.ts';

/** Forests: each category's parent is one that comes before it, or none. */
const forests = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 9 })), { maxLength: 30 }).map((draws) =>
  draws.map(
    ([draw, products], at): CategoryNode => ({
      id: at + 1,
      parent_id: draw % (at + 1) === 0 ? null : draw % (at + 1),
      name: `c${at}`,
      slug: `c${at}`,
      own_products: products,
    }),
  ),
);

const flat = (trees: CategoryTree[]): CategoryTree[] => trees.flatMap((tree) => [tree, ...flat(tree.children)]);

describe('the category tree', () => {
  test('every category is in the tree once, beneath its parent', () => {
    fc.assert(
      fc.property(forests, (nodes) => {
        const all = flat(categoryTree(nodes));
        expect(all.map((tree) => tree.id).sort((a, b) => a - b)).toEqual(nodes.map((node) => node.id));
        for (const tree of all) for (const child of tree.children) expect(child.parent_id).toBe(tree.id);
      }),
    );
  });

  test('the counts of the roots add up to all products', () => {
    fc.assert(
      fc.property(forests, (nodes) => {
        const counted = categoryTree(nodes).reduce((sum, root) => sum + root.product_count, 0);
        expect(counted).toBe(nodes.reduce((sum, node) => sum + node.own_products, 0));
      }),
    );
  });

  test('a move makes a cycle exactly when the new parent is the category or beneath it', () => {
    fc.assert(
      fc.property(
        forests.filter((nodes) => nodes.length > 0),
        fc.nat(),
        fc.nat(),
        (nodes, a, b) => {
          const id = (a % nodes.length) + 1;
          const parentId = (b % nodes.length) + 1;
          const itself = flat(categoryTree(nodes)).find((tree) => tree.id === id);
          const beneath = new Set(itself ? flat([itself]).map((tree) => tree.id) : []);
          const parents = new Map(nodes.map((node) => [node.id, node.parent_id]));
          expect(wouldMakeCycle(parents, { id, parentId })).toBe(beneath.has(parentId));
        },
      ),
    );
  });
});
