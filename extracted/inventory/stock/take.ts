/** How much of a product is meant. */
export type StockLine = { productId: number; quantity: number };

export type Shortage = { productId: number; wanted: number; available: number };

/** Lines in the order in which their rows are locked: the same for everybody, so that nobody waits in a circle. */
export function inLockOrder(lines: readonly StockLine[]): StockLine[] {
  return lines.toSorted((a, b) => a.productId - b.productId);
}

/** Whether two reservations ask for the same, in whatever order. Each names a product once. */
export function sameLines(one: readonly StockLine[], other: readonly StockLine[]): boolean {
  const text = (lines: readonly StockLine[]) =>
    inLockOrder(lines)
      .map(({ productId, quantity }) => `${productId}:${quantity}`)
      .join();
  return text(one) === text(other);
}

/** Every line that cannot be taken, by product; none: all can. A product without a level has none. */
export function shortagesOf(lines: readonly StockLine[], available: ReadonlyMap<number, number>): Shortage[] {
  return inLockOrder(lines).flatMap(({ productId, quantity }) => {
    const left = available.get(productId) ?? 0;
    return left < quantity ? [{ productId, wanted: quantity, available: left }] : [];
  });
}
