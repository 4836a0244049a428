import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';

type Schema = { readonly [keyword: string]: unknown };

const directory = new URL('../events/schemas/', import.meta.url);

/** The schemas of the inventory's events, by file `<type>.v<version>.json`. */
export function eventSchemas(): { file: string; schema: Schema }[] {
  return readdirSync(directory).map((file) => {
    return { file, schema: JSON.parse(readFileSync(new URL(file, directory), 'utf8')) as Schema };
  });
}

/** What an event has that its schema does not describe, or lacks; undefined where it is as described. */
export type EventCheck = (event: { type: string; schema_version: number; data: unknown }) => string | undefined;

/** Holds events to their schemas to the letter: a member that is not described is refused as well. */
export function eventCheck(): EventCheck {
  const ajv = new Ajv2020({ strict: true, allErrors: true });
  ajvFormats.default(ajv);
  const validators = new Map<string, ValidateFunction>(
    eventSchemas().map(({ file, schema }) => [file, ajv.compile(closed(schema))]),
  );
  return ({ type, schema_version, data }) => {
    const validate = validators.get(`${type}.v${schema_version}.json`);
    if (validate === undefined) return `there is no schema ${type}.v${schema_version}`;
    return validate(data) ? undefined : ajv.errorsText(validate.errors);
  };
}

/** The schema, with every object in it refusing members that it does not describe. */
function closed(schema: Schema): Schema {
  const { properties, items } = schema as { properties?: Record<string, Schema>; items?: Schema };
  return {
    ...schema,
    ...(items === undefined ? {} : { items: closed(items) }),
    ...(properties === undefined
      ? {}
      : {
          additionalProperties: false,
          properties: Object.fromEntries(Object.entries(properties).map(([name, member]) => [name, closed(member)])),
        }),
  };
}
