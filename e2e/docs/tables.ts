/** The body rows of the first table under a heading, cell by cell, code marks taken off. Throws where there is none. */
export function tableUnder(markdown: string, heading: string): string[][] {
  const lines = markdown.split('\n');
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === heading);
  const first = lines.findIndex((line, at) => at > start && line.startsWith('|'));
  if (start === -1 || first === -1) throw new Error(`expected a table under the heading "${heading}", found none`);
  const rows: string[][] = [];
  // The first two lines are the headings and the rule beneath them.
  for (let at = first + 2; lines[at]?.startsWith('|'); at += 1) {
    rows.push(
      lines[at]!.split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
  }
  return rows;
}
