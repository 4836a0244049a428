import { pathOfOpenApi } from '@strangler/platform/compare/endpoint.ts';
import { parse } from 'yaml';
import { z } from 'zod';
import type { ApiBody, ApiOperation, ApiParameter } from './operation.ts';
import {
  ApiDescriptionError,
  at,
  type Document,
  elementsOf,
  follow,
  membersOf,
  type Place,
  readAs,
  refuse,
} from './place.ts';
import { readSchema } from './read-schema.ts';

const methods = ['get', 'head', 'post', 'put', 'patch', 'delete'] as const;
const readable = /^3\.[012](\.|$)/;
const status = /^([1-5](\d\d|XX)|default)$/;
const jsonType = /^application\/([\w.+-]+\+)?json\s*(;|$)/i;

const anything = z.unknown();
const members = z.record(z.string(), anything);
const security = z.array(members).optional();
const documentShape = z.looseObject({ paths: members, security });
const itemShape = z.looseObject({ parameters: z.array(anything).optional() });
const operationShape = z.looseObject({
  parameters: z.array(anything).optional(),
  responses: members.optional(),
  security,
});
const parameterShape = z.looseObject({
  in: z.enum(['path', 'query', 'header', 'cookie']),
  name: z.string().min(1),
  required: z.boolean().optional(),
});
const bodyShape = z.looseObject({ content: members });

/**
 * Reads an OpenAPI description of version 3.0, 3.1 or 3.2 from YAML or JSON, in its order; references within it are
 * followed. `from` names it in messages.
 * @throws ApiDescriptionError
 */
export const readApiDescription = (text: string, from: string): ApiOperation[] => {
  const document: Document = { value: parsed(text, from), from };
  const root: Place = { value: document.value, path: [] };
  const version = at(root, 'openapi').value;
  if (typeof version !== 'string' || !readable.test(version)) {
    const found = version ?? at(root, 'swagger').value;
    throw new ApiDescriptionError(
      `${from}: expected an OpenAPI description of version 3.0, 3.1 or 3.2, found ${found === undefined ? 'no version' : `version ${JSON.stringify(found)}`}; convert it, or name another`,
    );
  }
  const { security: usual = [] } = readAs(document, root, documentShape).value;
  return namedMembers(document, at(root, 'paths'), /^\//, 'expected a path that begins with "/"').flatMap(
    ([path, given]) => {
      const { place: item } = readAs(document, given, itemShape);
      return methods
        .filter((method) => at(item, method).value !== undefined)
        .map((method) => readOperation(document, { method, path, item, usual }));
    },
  );
};

/** The members of an object, each of a name of this form; extensions are left out. */
const namedMembers = (document: Document, object: Place, form: RegExp, expected: string): [string, Place][] =>
  membersOf(object)
    .filter(([name]) => !name.startsWith('x-'))
    .map(([name, member]) =>
      form.test(name) ? [name, member] : refuse(document, { ...member, value: name }, expected, 'correct its name'),
    );

const parsed = (text: string, from: string): unknown => {
  try {
    return parse(text, { merge: true, maxAliasCount: 1_000 });
  } catch (cause) {
    const [what = ''] = (cause as Error).message.split('\n');
    throw new ApiDescriptionError(
      `${from}: expected YAML or JSON, found something else: ${what.replace(/:$/, '')}; correct it there`,
      { cause },
    );
  }
};

type Requirements = readonly object[];

const readOperation = (
  document: Document,
  { method, path, item, usual }: { method: (typeof methods)[number]; path: string; item: Place; usual: Requirements },
): ApiOperation => {
  const { place, value } = readAs(document, at(item, method), operationShape);
  const parameters = [...elementsOf(at(item, 'parameters')), ...elementsOf(at(place, 'parameters'))]
    .map((parameter) => readParameter(document, parameter))
    .filter((parameter) => parameter !== null);
  const answers = namedMembers(
    document,
    at(place, 'responses'),
    status,
    'expected a status such as 200, 4XX or default',
  );
  return {
    method: method.toUpperCase(),
    path,
    route: pathOfOpenApi(path),
    // An operation's own parameter stands for the path's of the same name.
    parameters: [...new Map(parameters.map((one) => [`${one.in} ${one.name}`, one])).values()],
    bodies: readBodies(document, at(place, 'requestBody')),
    statusClasses: (['2xx', '3xx', '4xx'] as const).filter((one) => answers.some(([name]) => name[0] === one[0])),
    signedIn: signedInBy(value.security ?? usual),
  };
};

const readParameter = (document: Document, given: Place): ApiParameter | null => {
  const { place, value } = readAs(document, given, parameterShape);
  const { in: where, name, required } = value;
  if (where === 'cookie') return null;
  return {
    in: where,
    name,
    required: required === true || where === 'path',
    schema: readSchema(document, at(place, 'schema')),
    examples: examplesAt(document, place),
  };
};

const readBodies = (document: Document, given: Place): ApiBody[] => {
  if (given.value === undefined) return [];
  const { place } = readAs(document, given, bodyShape);
  return membersOf(at(place, 'content'))
    .filter(([mediaType]) => jsonType.test(mediaType))
    .map(([mediaType, one]) => {
      const { place: media } = readAs(document, one, members);
      return {
        mediaType,
        schema: readSchema(document, at(media, 'schema')),
        example: examplesAt(document, media)[0],
      };
    });
};

const examplesAt = (document: Document, place: Place): unknown[] =>
  [
    at(place, 'example').value,
    ...membersOf(at(place, 'examples')).map(([, one]) => at(follow(document, one), 'value').value),
  ].filter((value) => value !== undefined);

/** An empty requirement among others makes signing in optional. */
const signedInBy = (requirements: Requirements): ApiOperation['signedIn'] => {
  const empty = requirements.filter((schemes) => Object.keys(schemes).length === 0).length;
  if (empty === requirements.length) return 'never';
  return empty > 0 ? 'may' : 'must';
};
