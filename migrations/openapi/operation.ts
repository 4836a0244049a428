/** A JSON Schema of an OpenAPI 3 description, references in it followed, as far as values are made from it. */
export type JsonSchema = {
  type?: string | readonly string[];
  enum?: readonly unknown[];
  const?: unknown;
  default?: unknown;
  example?: unknown;
  examples?: readonly unknown[];
  nullable?: boolean;
  format?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number | boolean;
  exclusiveMaximum?: number | boolean;
  minItems?: number;
  maxItems?: number;
  items?: JsonSchema;
  properties?: Readonly<Record<string, JsonSchema>>;
  required?: readonly string[];
  maxProperties?: number;
  additionalProperties?: boolean | JsonSchema;
  propertyNames?: JsonSchema;
  allOf?: readonly JsonSchema[];
  anyOf?: readonly JsonSchema[];
  oneOf?: readonly JsonSchema[];
};

export type ApiParameter = {
  in: 'path' | 'query' | 'header';
  name: string;
  required: boolean;
  schema: JsonSchema;
  /** Values that the description gives as examples. */
  examples: readonly unknown[];
};

export type ApiBody = { mediaType: string; schema: JsonSchema; example: unknown };

/** One operation of an OpenAPI description, as far as requests are made and answers expected by it. */
export type ApiOperation = {
  method: string;
  /** As the description writes it: `/api/products/{id}`. */
  path: string;
  /** As a slice file writes it: `/api/products/:id`. */
  route: string;
  /** Those in cookies are left out. */
  parameters: readonly ApiParameter[];
  /** The forms of JSON that a request may have; the first one is the usual one. */
  bodies: readonly ApiBody[];
  /** Of the answers it tells of, without 5xx and `default`. */
  statusClasses: readonly ('2xx' | '3xx' | '4xx')[];
  /** Whether callers must be signed in, may be, or need not. */
  signedIn: 'must' | 'may' | 'never';
};

type Route = { method: string; path: string };

/** Whether an operation describes a slice's route, whatever its parameters are called there. */
export const describes = ({ method, route }: Pick<ApiOperation, 'method' | 'route'>, wanted: Route): boolean =>
  method === wanted.method && shapeOf(route) === shapeOf(wanted.path);

/** The operation that describes a slice's route. */
export const operationOf = (operations: readonly ApiOperation[], wanted: Route): ApiOperation | undefined =>
  operations.find((operation) => describes(operation, wanted));

/** What is known of a route that no description tells of. */
export const undescribed = ({ method, path }: Route): ApiOperation => ({
  method,
  path: path.replace(/:([^/]+)/g, '{$1}'),
  route: path,
  parameters: [],
  bodies: [],
  statusClasses: ['2xx'],
  signedIn: 'may',
});

const shapeOf = (route: string): string => route.replace(/:[^/]+/g, ':').replace(/\/$/, '');
