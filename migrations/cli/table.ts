/**
 * Lines up rows under their headings, two spaces apart; numbers to the right. No row longer than its cells need.
 * A width is counted in code points, which holds for what we print.
 */
export const formatTable = (headings: readonly string[], rows: readonly (readonly (string | number)[])[]): string => {
  const text = [headings, ...rows.map((row) => row.map(String))];
  const widths = headings.map((_, column) => Math.max(...text.map((row) => [...(row[column] ?? '')].length)));
  const line = (cells: readonly string[], original?: readonly (string | number)[]): string =>
    cells
      .map((cell, column) => {
        const padding = ' '.repeat(widths[column]! - [...cell].length);
        return typeof original?.[column] === 'number' ? padding + cell : cell + padding;
      })
      .join('  ')
      .trimEnd();
  return [line(headings), ...rows.map((row) => line(row.map(String), row))].join('\n');
};
