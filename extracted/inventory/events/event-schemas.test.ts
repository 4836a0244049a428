import { readdirSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { eventSchemas } from '../testing/event-schemas.ts';
import { tellings } from './stock-events.ts';

test('every event that is told has one schema, under its own name, in its newest version', () => {
  const told = Object.entries(tellings).map(([type, { schemaVersion }]) => `${type}.v${schemaVersion}.json`);
  expect(readdirSync(new URL('./schemas/', import.meta.url)).sort()).toEqual(told.sort());
  for (const { file, schema } of eventSchemas()) {
    const [, type, version] = /^(.+)\.v(\d+)\.json$/.exec(file) ?? [];
    expect(schema).toMatchObject({ $id: `urn:shop:event:${type}:v${version}`, type: 'object' });
  }
});
