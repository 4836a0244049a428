import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import type { EventSchema } from '../events/compatibility.ts';

/** A file `<type>.v<version>.json` of `events/schemas/`. */
export type SchemaFile = { file: string; type: string; version: number; schema: EventSchema };

const directory = fileURLToPath(new URL('../events/schemas/', import.meta.url));
const fileName = /^([a-z]+\.[a-z_]+)\.v([1-9]\d*)\.json$/;

/** The schemas of all events in all versions, by type, older versions first. */
export function eventSchemas(): SchemaFile[] {
  const files = readdirSync(directory).filter((file) => file !== 'released.json');
  return files
    .map((file) => {
      const [, type, version] = fileName.exec(file) ?? [];
      if (type === undefined) throw new Error(`${directory}${file}: expected a name like order.placed.v1.json`);
      return { file, type, version: Number(version), schema: readJson(file) as EventSchema };
    })
    .sort((a, b) => (a.type < b.type ? -1 : a.type > b.type ? 1 : a.version - b.version));
}

/** The digests of the schemas that were released, by file. */
export function releasedDigests(): Record<string, string> {
  return readJson('released.json') as Record<string, string>;
}

/** What an event's `data` has that its schema does not describe, or lacks; undefined where it is as described. */
export type EventCheck = (event: { type: string; schema_version: number; data: unknown }) => string | undefined;

/** Holds events to their schemas to the letter: a member that is not described is refused as well. */
export function eventCheck(): EventCheck {
  const ajv = new Ajv2020({ allErrors: true });
  ajvFormats.default(ajv);
  const validators = new Map<string, ValidateFunction>(
    eventSchemas().map(({ type, version, schema }) => [`${type}.v${version}`, ajv.compile(closed(schema))]),
  );
  return ({ type, schema_version, data }) => {
    const validate = validators.get(`${type}.v${schema_version}`);
    if (validate === undefined) return `there is no schema ${type}.v${schema_version}`;
    return validate(data) ? undefined : ajv.errorsText(validate.errors);
  };
}

/** The schema, with every object in it refusing members that it does not describe. */
export function closed(schema: EventSchema): EventSchema {
  const { properties, items } = schema as { properties?: Record<string, EventSchema>; items?: EventSchema };
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

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(`${directory}${file}`, 'utf8'));
}
