import { readFileSync } from 'node:fs';
import type { OpenAPIV3_1 } from 'openapi-types';
import { parse } from 'yaml';

/** The orders' OpenAPI 3.1 document. */
export function openApiDocument(): OpenAPIV3_1.Document {
  return parse(readFileSync(new URL('./openapi.yaml', import.meta.url), 'utf8')) as OpenAPIV3_1.Document;
}
