/** A category as a row of the list that the tree is made from. */
export type CategoryNode = {
  id: number;
  parent_id: number | null;
  name: string;
  slug: string;
  /** Products in this very category. */
  own_products: number;
};

export type CategoryView = { id: number; parent_id: number | null; name: string; slug: string };

/** A category in the tree that the API shows. */
export type CategoryTree = CategoryView & {
  /** Shown products in the category and in all beneath it. */
  product_count: number;
  children: CategoryTree[];
};

/** The tree of a list of categories; siblings keep the order of the list. */
export function categoryTree(nodes: CategoryNode[]): CategoryTree[] {
  const childrenOf = Map.groupBy(nodes, (node) => node.parent_id);
  const treesUnder = (parent: number | null): CategoryTree[] =>
    (childrenOf.get(parent) ?? []).map((node) => {
      const children = treesUnder(node.id);
      const beneath = children.reduce((sum, child) => sum + child.product_count, 0);
      return { ...categoryView(node), product_count: node.own_products + beneath, children };
    });
  return treesUnder(null);
}

export function categoryView(node: CategoryView): CategoryView {
  return {
    id: Number(node.id),
    parent_id: node.parent_id === null ? null : Number(node.parent_id),
    name: node.name,
    slug: node.slug,
  };
}

/** True when making `parentId` the parent of `id` would put the category beneath itself. */
export function wouldMakeCycle(
  parents: ReadonlyMap<number, number | null>,
  { id, parentId }: { id: number; parentId: number },
): boolean {
  for (let ancestor: number | null = parentId; ancestor !== null; ancestor = parents.get(ancestor) ?? null) {
    if (ancestor === id) return true;
  }
  return false;
}
