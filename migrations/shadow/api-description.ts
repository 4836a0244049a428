import { pathOfOpenApi } from '@strangler/platform/compare/endpoint.ts';
import { parse } from 'yaml';
import { z } from 'zod';

/** One operation of an OpenAPI description, as far as requests are made and answers expected by it. */
export type ApiOperation = {
  method: string;
  /** As a slice file writes it: "/api/products/:id". */
  path: string;
  parameters: ApiParameter[];
  /** Of the answers it tells of, without 5xx and `default`. */
  statusClasses: ('2xx' | '3xx' | '4xx')[];
  /** Whether callers must be signed in, may be, or need not. */
  signedIn: 'must' | 'may' | 'never';
  body: { mediaType: string; schema: JsonSchema; example: unknown } | null;
};

export type ApiParameter = {
  in: 'path' | 'query' | 'header';
  name: string;
  required: boolean;
  schema: JsonSchema;
  /** Values that the description gives as examples. */
  examples: unknown[];
};

export type JsonSchema = {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  example?: unknown;
  examples?: unknown[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  format?: string;
  minItems?: number;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  allOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  anyOf?: JsonSchema[];
};

/** The description cannot be used; the message says where and why. */
export class ApiDescriptionError extends Error {
  override name = 'ApiDescriptionError';
}

const loose = z.record(z.string(), z.unknown());
const documentSchema = z.object({ openapi: z.string().regex(/^3\.[01]\./), paths: loose });
const methods = ['get', 'head', 'post', 'put', 'patch', 'delete'] as const;

/**
 * Reads an OpenAPI 3.0 or 3.1 description from YAML or JSON; references within it are followed.
 * @throws ApiDescriptionError naming `file`
 */
export const readApiDescription = (text: string, file: string): ApiOperation[] => {
  let document: unknown;
  try {
    document = parse(text, { maxAliasCount: 1_000 });
  } catch (cause) {
    throw new ApiDescriptionError(`${file}: expected YAML or JSON: ${(cause as Error).message}`, { cause });
  }
  const checked = documentSchema.safeParse(document);
  if (!checked.success) {
    throw new ApiDescriptionError(`${file}: expected an OpenAPI 3.0 or 3.1 description with "openapi" and "paths"`);
  }
  const root = document as Record<string, unknown>;
  const operations: ApiOperation[] = [];
  for (const [path, given] of Object.entries(checked.data.paths)) {
    const item = follow(given, root, file);
    for (const method of methods) {
      if (item[method] === undefined) continue;
      const operation = follow(item[method], root, file);
      const parameters = [...listOf(item.parameters), ...listOf(operation.parameters)]
        .map((parameter) => readParameter(follow(parameter, root, file), root, file))
        .filter((parameter) => parameter !== null);
      operations.push({
        method: method.toUpperCase(),
        path: pathOfOpenApi(path),
        // An operation's own parameter stands for the path's of the same name.
        parameters: [...new Map(parameters.map((one) => [`${one.in} ${one.name}`, one])).values()],
        statusClasses: readStatusClasses(operation.responses),
        signedIn: readSecurity(operation.security ?? root.security),
        body: readRequestBody(operation.requestBody, root, file),
      });
    }
  }
  return operations;
};

/** The operation that describes a route, whatever its parameters are called there. */
export const operationOf = (
  operations: readonly ApiOperation[],
  route: { method: string; path: string },
): ApiOperation | undefined =>
  operations.find(({ method, path }) => method === route.method && shapeOf(path) === shapeOf(route.path));

const shapeOf = (path: string): string => path.replace(/:[^/]+/g, ':').replace(/\/$/, '');

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** What a reference stands for, or the thing itself. */
const follow = (value: unknown, root: Record<string, unknown>, file: string): Record<string, unknown> => {
  let found = value;
  for (let steps = 0; steps < 50; steps += 1) {
    if (found === null || typeof found !== 'object' || Array.isArray(found)) return {};
    const { $ref } = found as { $ref?: unknown };
    if (typeof $ref !== 'string') return found as Record<string, unknown>;
    if (!$ref.startsWith('#/')) {
      throw new ApiDescriptionError(
        `${file}: expected references within the file, such as "#/components/…", found "${$ref}"`,
      );
    }
    found = $ref
      .slice(2)
      .split('/')
      .map((part) => decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~'))
      .reduce<unknown>((at, part) => (Object(at) as Record<string, unknown>)[part], root);
    if (found === undefined) throw new ApiDescriptionError(`${file}: "${$ref}" leads nowhere`);
  }
  throw new ApiDescriptionError(`${file}: references go in a circle`);
};

const deepest = 8;

/** A schema without references, to a depth that no request needs to go beyond. */
const readSchema = (value: unknown, root: Record<string, unknown>, file: string, depth = 0): JsonSchema => {
  if (depth > deepest) return {};
  const schema = follow(value, root, file);
  const within = (one: unknown): JsonSchema => readSchema(one, root, file, depth + 1);
  const result: Record<string, unknown> = { ...schema };
  if (schema.items !== undefined) result.items = within(schema.items);
  if (schema.properties !== undefined) {
    result.properties = Object.fromEntries(
      Object.entries(schema.properties as object).map(([name, one]) => [name, within(one)]),
    );
  }
  for (const name of ['allOf', 'oneOf', 'anyOf']) {
    if (schema[name] !== undefined) result[name] = listOf(schema[name]).map(within);
  }
  return result as JsonSchema;
};

const readParameter = (
  parameter: Record<string, unknown>,
  root: Record<string, unknown>,
  file: string,
): ApiParameter | null => {
  const { in: where, name } = parameter;
  if ((where !== 'path' && where !== 'query' && where !== 'header') || typeof name !== 'string') return null;
  return {
    in: where,
    name,
    required: parameter.required === true || where === 'path',
    schema: readSchema(parameter.schema ?? {}, root, file),
    examples: examplesOf(parameter),
  };
};

const readRequestBody = (given: unknown, root: Record<string, unknown>, file: string): ApiOperation['body'] => {
  if (given === undefined) return null;
  const content = Object(follow(given, root, file).content) as Record<string, unknown>;
  const mediaType = Object.keys(content).find((type) => /^application\/([^;]*\+)?json\b/.test(type));
  if (mediaType === undefined) return null;
  const media = follow(content[mediaType], root, file);
  return { mediaType, schema: readSchema(media.schema ?? {}, root, file), example: examplesOf(media)[0] };
};

const examplesOf = ({ example, examples }: Record<string, unknown>): unknown[] => [
  ...(example === undefined ? [] : [example]),
  ...Object.values(Object(examples))
    .map((one) => (Object(one) as { value?: unknown }).value)
    .filter((one) => one !== undefined),
];

const readStatusClasses = (responses: unknown): ApiOperation['statusClasses'] => {
  const classes = new Set(Object.keys(Object(responses)).map((status) => `${status[0]}xx`));
  return (['2xx', '3xx', '4xx'] as const).filter((one) => classes.has(one));
};

/** An empty requirement among others makes signing in optional. */
const readSecurity = (security: unknown): ApiOperation['signedIn'] => {
  const requirements = listOf(security).map((one) => Object.keys(Object(one)).length);
  if (requirements.length === 0 || requirements.every((schemes) => schemes === 0)) return 'never';
  return requirements.includes(0) ? 'may' : 'must';
};
