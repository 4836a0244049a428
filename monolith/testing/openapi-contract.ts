import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import type { Express } from 'express';
import type { OpenAPIV3_1 } from 'openapi-types';

const methods = ['get', 'put', 'post', 'delete', 'patch'] as const;

/** An answer as it came, before anything is made of it. */
export type Answer = { method: string; path: string; status: number; headers: Headers; text: string };

/** An answer that is not as the document describes it. */
export class ContractViolation extends Error {
  constructor(answer: Answer, finding: string) {
    super(`${answer.method} ${answer.path} answered ${answer.status}: ${finding}\n${answer.text.slice(0, 2000)}`);
    this.name = 'ContractViolation';
  }
}

export type Contract = {
  /** Throws a ContractViolation when the answer is not described, or not as described. */
  check(answer: Answer): void;
};

/** What an OpenAPI 3.1 document promises, as something that answers are checked against. */
export function createContract(document: OpenAPIV3_1.Document): Contract {
  const root = 'https://shop.example/openapi';
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: true });
  ajvFormats.default(ajv);
  ajv.addSchema({ ...document, $id: root } as AnySchema);

  const operations = Object.entries(document.paths ?? {}).map(([template, item]) => ({
    template,
    item: item as Record<string, unknown>,
    pattern: new RegExp(`^${template.replace(/[.]/g, '\\.').replace(/\{[^}]+\}/g, '[^/]+')}$`),
    // A path that is spelled out goes before one with a parameter (OpenAPI 3.1 section 4.8.8.2).
    parameters: template.match(/\{/g)?.length ?? 0,
  }));
  operations.sort((a, b) => a.parameters - b.parameters);

  /** The node at a JSON pointer, after following `$ref`s; with the pointer where it was found. */
  const at = (pointer: string): { node: Record<string, unknown> | undefined; pointer: string } => {
    const node = pointer
      .split('/')
      .slice(1)
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
      .reduce<unknown>((parent, part) => (parent as Record<string, unknown> | undefined)?.[part], document);
    const ref = (node as { $ref?: string } | undefined)?.$ref;
    return ref === undefined ? { node: node as Record<string, unknown> | undefined, pointer } : at(ref.slice(1));
  };

  const violations = (schemaPointer: string, value: unknown): string | undefined => {
    const uri = `${root}#${schemaPointer.split('/').map(encodeURIComponent).join('/')}`;
    const validate = ajv.getSchema(uri) ?? ajv.compile({ $ref: uri });
    return validate(value) ? undefined : ajv.errorsText(validate.errors, { separator: '\n' });
  };

  const checkHeaders = (answer: Answer, pointer: string, described: Record<string, unknown>): void => {
    for (const name of Object.keys(described)) {
      const header = at(`${pointer}/headers/${escapePart(name)}`);
      const value = answer.headers.get(name);
      if (value === null) {
        if (header.node?.required === true) throw new ContractViolation(answer, `the header ${name} is missing`);
        continue;
      }
      const errors = violations(`${header.pointer}/schema`, value);
      if (errors) throw new ContractViolation(answer, `the header ${name} is "${value}": ${errors}`);
    }
  };

  const checkBody = (answer: Answer, pointer: string, content: Record<string, unknown> | undefined): void => {
    if (content === undefined) {
      if (answer.text !== '') throw new ContractViolation(answer, 'it has a body, none is described');
      return;
    }
    const type = (answer.headers.get('content-type') ?? '').split(';')[0] ?? '';
    if (!(type in content)) {
      throw new ContractViolation(answer, `its type is ${type}, described are ${Object.keys(content).join(', ')}`);
    }
    if (answer.method === 'HEAD') return;
    const value: unknown = /[/+]json$/.test(type) ? JSON.parse(answer.text) : answer.text;
    const errors = violations(`${pointer}/content/${escapePart(type)}/schema`, value);
    if (errors) throw new ContractViolation(answer, `its body is not as described: ${errors}`);
  };

  return {
    check(answer) {
      const path = answer.path.split('?', 1)[0] ?? '';
      const method = (answer.method === 'HEAD' ? 'GET' : answer.method).toLowerCase();
      const operation = operations.find(({ pattern, item }) => pattern.test(path) && method in item);
      if (!operation) throw new ContractViolation(answer, 'this operation is not described');
      const start = `/paths/${escapePart(operation.template)}/${method}/responses/${answer.status}`;
      const { node: response, pointer } = at(start);
      if (!response) throw new ContractViolation(answer, `this status is not described for ${operation.template}`);
      checkHeaders(answer, pointer, (response.headers ?? {}) as Record<string, unknown>);
      checkBody(answer, pointer, response.content as Record<string, unknown> | undefined);
    },
  };
}

/** The operations of a document, as `GET /api/products/{id}`, in order. */
export function describedOperations(document: OpenAPIV3_1.Document): string[] {
  return Object.entries(document.paths ?? {})
    .flatMap(([path, item]) => methods.filter((method) => item?.[method]).map((method) => operationName(method, path)))
    .sort();
}

type Layer = {
  route?: { path: string | string[]; methods: Record<string, boolean> };
  handle?: { stack?: Layer[] };
};

/** The routes of an Express application, routers mounted at `/` included, as `GET /api/products/{id}`, in order. */
export function expressOperations(app: Express): string[] {
  const walk = (layers: Layer[]): string[] =>
    layers.flatMap(({ route, handle }) => {
      if (!route) return walk(handle?.stack ?? []);
      const paths = Array.isArray(route.path) ? route.path : [route.path];
      const names = Object.keys(route.methods).filter((method) => route.methods[method]);
      return paths.flatMap((path) =>
        names.map((method) => operationName(method, path.replace(/:([A-Za-z_]\w*)/g, '{$1}'))),
      );
    });
  return [...new Set(walk((app.router as unknown as { stack: Layer[] }).stack))].sort();
}

function operationName(method: string, path: string): string {
  return `${method.toUpperCase()} ${path}`;
}

function escapePart(part: string): string {
  return part.replaceAll('~', '~0').replaceAll('/', '~1');
}
