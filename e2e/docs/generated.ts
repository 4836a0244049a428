import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '@strangler/migrations/cli/program.ts';
import { sliceFileJsonSchema } from '@strangler/platform/contracts/slice-file.ts';
import { createLog } from '@strangler/platform/log.ts';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';
import { gatewayFileJsonSchema, policyKindSchemas } from '@strangler/strangler-proxy/gateway/gateway-file.ts';

/** The commands whose `--help` stands in docs/reference/strangler.md. */
const documentedCommands = [
  [],
  ['plan'],
  ['advance'],
  ['rollback'],
  ['status'],
  ['backfill'],
  ['verify'],
  ['repair'],
  ['writers'],
  ['publish'],
  ['shadow', 'report'],
  ['shadow', 'show'],
  ['shadow', 'replay'],
  ['shadow', 'accept'],
  ['shadow', 'unaccept'],
  ['shadow', 'reset'],
  ['shadow', 'calibrate'],
  ['shadow', 'drive'],
  ['dlq', 'list'],
  ['dlq', 'show'],
  ['dlq', 'replay'],
  ['dlq', 'drop'],
  ['flag', 'set'],
  ['flag', 'show'],
  ['flag', 'history'],
  ['keys', 'init'],
  ['keys', 'rotate'],
  ['keys', 'retire'],
  ['keys', 'show'],
  ['keys', 'token'],
  ['gateway', 'key', 'new'],
  ['gateway', 'key', 'hash'],
];

const schemaPath = 'migrations/slices/slice.schema.json';
const gatewaySchemaPath = 'strangler-proxy/gateway/gateway.schema.json';
const gatewayExamplePath = 'stack/system/gateway.yaml';
const examplePath = 'migrations/slices/catalog/slice.yaml';

/** Files that are made from code, in whole or in part: path in the repository → what should stand there. */
export async function generatedFiles(): Promise<Map<string, string>> {
  const help = await Promise.all(documentedCommands.map(helpOf));
  return new Map([
    [schemaPath, formatJson(sliceFileJsonSchema())],
    [gatewaySchemaPath, formatJson(gatewayFileJsonSchema())],
    withParts('docs/reference/strangler.md', { help: help.join('\n\n') }),
    withParts('docs/gateway.md', {
      file: optionsTable(gatewayFileJsonSchema() as ObjectSchema),
      kinds: Object.entries(policyKindSchemas()).map(describeKind).join('\n\n'),
      example: fenced('yaml', readFileSync(join(repositoryRoot, gatewayExamplePath), 'utf8')),
    }),
    withParts('docs/reference/slice-file.md', {
      options: optionsTable(sliceFileJsonSchema() as ObjectSchema),
      example: fenced('yaml', readFileSync(join(repositoryRoot, examplePath), 'utf8')),
    }),
  ]);
}

function withParts(path: string, parts: Record<string, string>): [string, string] {
  let text = readFileSync(join(repositoryRoot, path), 'utf8');
  for (const [name, content] of Object.entries(parts)) {
    const marked = new RegExp(`(<!-- generated: ${name} -->\n)[\\s\\S]*?(<!-- end of generated -->)`);
    if (!marked.test(text)) throw new Error(`${path}: expected a part "<!-- generated: ${name} -->", found none`);
    text = text.replace(marked, (_whole, begin: string, end: string) => `${begin}${content}\n${end}`);
  }
  return [path, text];
}

async function helpOf(words: readonly string[]): Promise<string> {
  const printed: string[] = [];
  await runProgram([...words, '--help'], {
    out: (text) => printed.push(text),
    err: (text) => printed.push(text),
    environment: {},
    log: createLog({ name: 'docs', level: 'silent' }),
    signal: AbortSignal.abort(),
  });
  const name = ['strangler', ...words].join(' ');
  return `### \`${name}\`\n\n${fenced('text', printed.join('\n'))}`;
}

type OptionSchema = {
  description?: string;
  type?: string;
  minItems?: number;
  maxItems?: number;
  minimum?: number;
  maximum?: number;
  items?: Partial<ObjectSchema>;
  properties?: ObjectSchema['properties'];
  additionalProperties?: unknown;
  enum?: string[];
  const?: string | false;
  /** A word that stands for all, or the options themselves. */
  anyOf?: OptionSchema[];
};
type ObjectSchema = { properties: Record<string, OptionSchema>; required?: string[] };

function describeKind([kind, schema]: [kind: string, schema: object]): string {
  const { description = '' } = schema as OptionSchema;
  return `### \`${kind}\`\n\n${description}\n\n${optionsTable(schema as ObjectSchema)}`;
}

function optionsTable(schema: ObjectSchema): string {
  return ['| option | value | required | meaning |', '|---|---|---|---|', ...optionRows(schema, '')].join('\n');
}

/** One row an option; those of a list's items follow it as `list[].option`, those of an object as `object.option`. */
function optionRows({ properties, required = [] }: ObjectSchema, before: string): string[] {
  return Object.entries(properties).flatMap(([name, option]) => {
    const path = `${before}${name}`;
    const { items, description = '' } = option;
    const own = option.properties ?? option.anyOf?.find((one) => one.properties !== undefined)?.properties;
    const row = `| \`${path}\` | ${describeValue(option)} | ${required.includes(name) ? 'yes' : 'no'} | ${description} |`;
    if (own !== undefined) return [row, ...optionRows({ properties: own, required: [] }, `${path}.`)];
    return items?.properties === undefined
      ? [row]
      : [row, ...optionRows({ properties: items.properties, required: items.required ?? [] }, `${path}[].`)];
  });
}

function describeValue(option: OptionSchema): string {
  const { type, minItems = 0, maxItems, minimum, maximum, properties, anyOf } = option;
  const words = [option, ...(anyOf ?? [])].flatMap((one) => one.enum ?? (one.const === undefined ? [] : [one.const]));
  if (anyOf?.some((one) => one.properties !== undefined)) return [...words, 'options below'].join(', or ');
  const isText = anyOf?.some((one) => one.type === 'string' && one.enum === undefined && one.const === undefined);
  if (words.length > 0) return [...words, ...(isText ? ['text'] : [])].join(' or ');
  if (type === 'array') return `list of ${minItems} to ${maxItems ?? 'any number'}`;
  if (type === 'boolean') return 'true or false';
  if (type === 'number' || type === 'integer') return `${minimum} to ${maximum}`;
  if (properties !== undefined) return 'options below';
  if (type === undefined && anyOf?.some((one) => one.type === 'array')) return 'text, or a list of it';
  return type === 'object' ? 'names and values' : 'text';
}

/** JSON as the formatter wants it: short lists stand on one line. */
function formatJson(value: unknown): string {
  const text = JSON.stringify(value, null, 2).replaceAll(/\[\n\s*([^[\]{}]*?)\n\s*\]/g, (whole, items: string) => {
    const line = `[${items.replaceAll(/\n\s*/g, ' ')}]`;
    return line.length <= 100 ? line : whole;
  });
  return `${text}\n`;
}

function fenced(language: string, text: string): string {
  return `\`\`\`${language}\n${text.trimEnd()}\n\`\`\``;
}
