import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { eventSchemas, releasedDigests } from '../testing/event-schemas.ts';
import { compatibilityFaults } from './compatibility.ts';
import { tellings } from './shop-events.ts';

const schemas = eventSchemas();
const digestOf = (schema: object) => createHash('sha256').update(JSON.stringify(schema)).digest('hex');

describe('the schemas of events', () => {
  test('that were released stay as they are, and are all there', () => {
    const found = Object.fromEntries(schemas.map(({ file, schema }) => [file, digestOf(schema)]));
    // A difference: put the released schema back, and describe the change in a new version beside it, whose line belongs into
    // released.json. `events/README.md` says which changes that version may bring.
    expect(found).toEqual(releasedDigests());
  });

  test('of an event can be read by who knows any version before, and no version is left out', () => {
    for (const newer of schemas) {
      const before = schemas.filter(({ type, version }) => type === newer.type && version < newer.version);
      expect(before).toHaveLength(newer.version - 1);
      const faults = before.flatMap((older) => compatibilityFaults(older.schema, newer.schema));
      expect({ file: newer.file, faults }).toEqual({ file: newer.file, faults: [] });
    }
  });

  test.each(schemas)(
    '$file is a JSON Schema under its own name, of an object, in words that can be compared',
    (file) => {
      const { type, version, schema } = file;
      expect(schema.$id).toBe(`urn:shop:event:${type}:v${version}`);
      expect(schema.type).toBe('object');
      const ajv = new Ajv2020({ strict: true });
      ajvFormats.default(ajv);
      expect(() => ajv.compile(schema)).not.toThrow();
      expect(compatibilityFaults(schema, schema)).toEqual([]);
    },
  );

  test('are those of the events that the shop tells of, each in the newest version', () => {
    const newest = Object.fromEntries(schemas.map(({ type, version }) => [type, version]));
    const told = Object.entries(tellings).map(([type, { schemaVersion }]) => [type, schemaVersion]);
    expect(newest).toEqual(Object.fromEntries(told));
  });
});
