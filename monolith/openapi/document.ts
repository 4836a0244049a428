import { readdirSync, readFileSync } from 'node:fs';
import type { OpenAPIV3_1 } from 'openapi-types';
import { parse } from 'yaml';

/** What a module's file `openapi/<module>.yaml` holds: its part of the document. */
type Fragment = {
  tags?: OpenAPIV3_1.TagObject[];
  paths: Record<string, OpenAPIV3_1.PathItemObject>;
  components?: OpenAPIV3_1.ComponentsObject;
};

const FOLDER = new URL('./', import.meta.url);
const BASE = 'openapi.yaml';

/**
 * The shop's OpenAPI 3.1 document: `openapi.yaml`, which has what all modules share, and every other file of the folder
 * merged into it. Throws when two files describe the same path or component.
 */
export function openApiDocument(): OpenAPIV3_1.Document {
  const document = readYaml<OpenAPIV3_1.Document>(BASE);
  const paths = { ...document.paths } as Record<string, OpenAPIV3_1.PathItemObject>;
  const components = (document.components ?? {}) as Record<string, Record<string, unknown>>;
  const fragments = readdirSync(FOLDER).filter((file) => file.endsWith('.yaml') && file !== BASE);
  for (const file of fragments.sort()) {
    const fragment = readYaml<Fragment>(file);
    if (fragment.tags) document.tags = [...(document.tags ?? []), ...fragment.tags];
    addAll(paths, fragment.paths, `${file}: paths`);
    for (const [kind, members] of Object.entries(fragment.components ?? {})) {
      components[kind] ??= {};
      addAll(components[kind], members as Record<string, unknown>, `${file}: components.${kind}`);
    }
  }
  return { ...document, paths, components: components as OpenAPIV3_1.ComponentsObject };
}

function readYaml<T>(file: string): T {
  return parse(readFileSync(new URL(file, FOLDER), 'utf8')) as T;
}

function addAll<T>(target: Record<string, T>, members: Record<string, T>, where: string): void {
  for (const [name, member] of Object.entries(members)) {
    if (name in target) throw new Error(`${where}: ${name} is described twice; describe it in one file only`);
    target[name] = member;
  }
}
