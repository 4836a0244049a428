const anyLines = '…';

/**
 * Whether a command printed what the page says. Empty lines at either end do not count, nor how many spaces stand between
 * the columns of a table, which follow from the longest cell. `…` within a line stands for any characters, a line of nothing
 * but `…` for any number of lines, none included.
 */
export function matchesOutput(expected: readonly string[], found: readonly string[]): boolean {
  const pattern = trimLines(expected);
  const text = trimLines(found);
  // reachable[n]: the pattern so far can stand for the first n lines.
  let reachable = new Set([0]);
  for (const line of pattern) {
    const next = new Set<number>();
    if (line.trim() === anyLines) {
      const from = Math.min(...reachable);
      for (let at = from; at <= text.length; at += 1) next.add(at);
    } else {
      const matches = lineMatcher(line);
      for (const at of reachable) if (at < text.length && matches(text[at]!)) next.add(at + 1);
    }
    if (next.size === 0) return false;
    reachable = next;
  }
  return reachable.has(text.length);
}

function lineMatcher(line: string): (text: string) => boolean {
  if (!line.includes(anyLines)) return (text) => text === line;
  const parts = line.split(anyLines).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const pattern = new RegExp(`^${parts.join('.*')}$`);
  return (text) => pattern.test(text);
}

function trimLines(lines: readonly string[]): string[] {
  const trimmed = lines.map((line) => line.trimEnd().replaceAll(/ {2,}/g, '  '));
  while (trimmed.length > 0 && trimmed[0] === '') trimmed.shift();
  while (trimmed.length > 0 && trimmed.at(-1) === '') trimmed.pop();
  return trimmed;
}
