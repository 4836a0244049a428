import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';

/** A metric that an expression reads, and the labels that it must have for the expression to mean anything. */
export type Reading = { metric: string; labels: string[] };

/** Labels that Prometheus adds to everything that it scrapes. */
const added = new Set(['instance', 'job']);

/** What an expression of PromQL reads. @throws Error naming the place where it is none */
export function readingsOf(expression: string): Reading[] {
  const readings: Reading[] = [];
  const text = (node: SyntaxNode): string => expression.slice(node.from, node.to);

  const walk = (node: SyntaxNode, grouped: readonly string[]): void => {
    if (node.type.isError)
      throw new Error(`expected PromQL, found at ${node.from}: ${expression.slice(node.from, node.from + 20)}`);
    if (node.name === 'VectorSelector') {
      const metric = node.getChild('Identifier');
      if (metric === null) throw new Error(`expected a metric by its name, found ${text(node)}`);
      const labels = [...textsOf(node, 'LabelName', text), ...grouped].filter((label) => !added.has(label));
      readings.push({ metric: text(metric), labels: [...new Set(labels)] });
      return;
    }
    const modifier = node.name === 'AggregateExpr' ? node.getChild('AggregateModifier') : null;
    const inner = modifier === null ? grouped : textsOf(modifier, 'LabelName', text);
    for (let child = node.firstChild; child !== null; child = child.nextSibling) walk(child, inner);
  };
  walk(parser.parse(expression).topNode, []);
  return readings;
}

function textsOf(node: SyntaxNode, name: string, text: (node: SyntaxNode) => string): string[] {
  const found: string[] = [];
  const cursor = node.cursor();
  const { to } = node;
  do {
    if (cursor.name === name) found.push(text(cursor.node));
  } while (cursor.next() && cursor.from < to);
  return found;
}
