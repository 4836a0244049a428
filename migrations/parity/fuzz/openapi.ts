import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';

/** A JSON Schema of an OpenAPI 3 description, with every `$ref` at its top followed. */
export type Schema = {
  type?: string | readonly string[];
  enum?: readonly unknown[];
  const?: unknown;
  default?: unknown;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number | boolean;
  exclusiveMaximum?: number | boolean;
  nullable?: boolean;
  format?: string;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
  items?: Schema;
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
  additionalProperties?: boolean | Schema;
  propertyNames?: Schema;
  allOf?: readonly Schema[];
  anyOf?: readonly Schema[];
  oneOf?: readonly Schema[];
};

export type Parameter = { name: string; in: 'path' | 'query' | 'header'; required: boolean; schema: Schema };

/** One request that the description tells of. */
export type Operation = {
  method: string;
  /** With its parameters in braces. */
  path: string;
  parameters: readonly Parameter[];
  /** Media type → schema; the first one is the usual one. */
  bodies: readonly (readonly [mediaType: string, schema: Schema])[];
  /** Whether it asks for a token. */
  secured: boolean;
};

/** A description that nothing can be made from; the message says why. */
export class OpenApiError extends Error {
  override name = 'OpenApiError';
}

type Json = Record<string, unknown>;

const methods = ['get', 'head', 'post', 'put', 'patch', 'delete'] as const;
const jsonType = /^application\/([\w.-]+\+)?json$/;

/** Reads a description from a file or an address, JSON or YAML. @throws OpenApiError */
export async function loadOperations(from: string, wanted: (operation: Operation) => boolean): Promise<Operation[]> {
  const operations = operationsOf(await loadDocument(from), from).filter(wanted);
  if (operations.length === 0)
    throw new OpenApiError(`${from}: expected operations to try, found none that are wanted`);
  return operations;
}

async function loadDocument(from: string): Promise<Json> {
  let text: string;
  try {
    text = /^https?:/.test(from) ? await (await fetch(from)).text() : await readFile(from, 'utf8');
  } catch (error) {
    throw new OpenApiError(`${from}: expected an OpenAPI description, found ${(error as Error).message}`);
  }
  let document: unknown;
  try {
    document = parse(text, { merge: true });
  } catch (error) {
    throw new OpenApiError(`${from}: expected JSON or YAML, found ${(error as Error).message}`);
  }
  const version = (document as Json | null)?.openapi;
  if (typeof version !== 'string' || !version.startsWith('3.')) {
    throw new OpenApiError(`${from}: expected openapi: 3.x, found ${JSON.stringify(version ?? null)}`);
  }
  return document as Json;
}

/** The operations of a document, in its order. */
export function operationsOf(document: Json, from: string): Operation[] {
  const follow = <T>(value: unknown, depth = 0): T => {
    const ref = (value as Json | undefined)?.$ref;
    if (typeof ref !== 'string') return value as T;
    if (!ref.startsWith('#/') || depth > 20) throw new OpenApiError(`${from}: cannot follow ${ref}`);
    const found = ref
      .slice(2)
      .split('/')
      .reduce<unknown>(
        (at, name) => (at as Json | undefined)?.[name.replaceAll('~1', '/').replaceAll('~0', '~')],
        document,
      );
    if (found === undefined) throw new OpenApiError(`${from}: ${ref} leads nowhere`);
    return follow<T>(found, depth + 1);
  };
  /** A schema may hold itself, in a tree for instance: there it allows anything. */
  const schemaOf = (value: unknown, depth = 0): Schema => {
    const schema = follow<Schema & Json>(value ?? {});
    if (depth > 6 || typeof schema !== 'object') return {};
    const inner = (one: unknown) => schemaOf(one, depth + 1);
    const merged = { ...schema } as Json;
    for (const name of ['properties'] as const) {
      if (schema[name])
        merged[name] = Object.fromEntries(Object.entries(schema[name]).map(([key, one]) => [key, inner(one)]));
    }
    for (const name of ['items', 'propertyNames'] as const) if (schema[name]) merged[name] = inner(schema[name]);
    if (typeof schema.additionalProperties === 'object')
      merged.additionalProperties = inner(schema.additionalProperties);
    for (const name of ['allOf', 'anyOf', 'oneOf'] as const) if (schema[name]) merged[name] = schema[name].map(inner);
    return merged as Schema;
  };

  const paths = (document.paths ?? {}) as Record<string, Json>;
  return Object.entries(paths).flatMap(([path, item]) =>
    methods.flatMap((method): Operation[] => {
      const operation = item[method] as Json | undefined;
      if (operation === undefined) return [];
      const told = [...((item.parameters ?? []) as unknown[]), ...((operation.parameters ?? []) as unknown[])];
      const parameters = new Map(
        told.map((one) => {
          const { name, in: where, required, schema } = follow<Json>(one);
          const parameter = { name, in: where, required: required === true, schema: schemaOf(schema) } as Parameter;
          return [`${String(where)} ${String(name)}`, parameter] as const;
        }),
      );
      const content = Object.entries(
        (follow<Json | undefined>(operation.requestBody)?.content ?? {}) as Record<string, Json>,
      );
      const security = (operation.security ?? document.security ?? []) as Json[];
      return [
        {
          method: method.toUpperCase(),
          path,
          parameters: [...parameters.values()].filter(({ in: where }) => where !== ('cookie' as string)),
          bodies: content
            .filter(([type]) => jsonType.test(type))
            .map(([type, { schema }]) => [type, schemaOf(schema)] as const),
          secured: security.length > 0 && !security.some((one) => Object.keys(one).length === 0),
        },
      ];
    }),
  );
}
