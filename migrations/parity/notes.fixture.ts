import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** A small API of notes in boxes, kept in memory: one of two sides, with ids of its own. */
export type NotesServer = { url: string; reset(): void; requests(): number; stop(): Promise<void> };

export type NotesFault = 'none' | 'long-title-cut' | 'delete-says-ok' | 'page-without-end' | 'etag-ignored';

type Note = { id: number; title: string; stars: number };

export async function startNotes({
  firstId,
  fault = 'none',
  dirtyFile,
}: {
  firstId: number;
  fault?: NotesFault;
  /** Removed by whoever wants the notes to be none again. */
  dirtyFile?: string;
}): Promise<NotesServer> {
  let notes: Note[] = [];
  let nextId = firstId;
  let requests = 0;
  const reset = (): void => {
    notes = [];
    nextId = firstId;
  };
  const tagOf = (value: unknown) => {
    // Its id is each side's own, and so would its digest be.
    const { id: _id, ...rest } = value as Note;
    return `"${createHash('sha256').update(JSON.stringify(rest)).digest('hex').slice(0, 8)}"`;
  };

  const answer = (request: http.IncomingMessage, text: string): [number, unknown, Record<string, string>?] => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://x');
    const admin = request.headers.authorization === 'Bearer admin-token';
    const body = () => {
      const found = JSON.parse(text) as Partial<Note>;
      const unknown = Object.keys(found).filter((name) => name !== 'title' && name !== 'stars');
      const { title, stars = 1 } = found;
      if (unknown.length > 0 || typeof title !== 'string' || title === '' || title.length > 20)
        throw new Error('title');
      if (!Number.isInteger(stars) || stars < 0 || stars > 5) throw new Error('stars');
      return { title: fault === 'long-title-cut' ? title.slice(0, 12) : title, stars };
    };
    const [, id] = /^\/notes\/([^/]+)$/.exec(pathname) ?? [];
    if (request.method === 'GET' && pathname === '/notes') {
      const limit = Number(searchParams.get('limit') ?? 2);
      const from = Number(searchParams.get('cursor') ?? 0);
      const items = notes.slice(from, from + limit);
      const more = notes.length > from + limit || (fault === 'page-without-end' && from > 0);
      return [200, { items, next_cursor: more ? `${from + limit}` : null }];
    }
    if (request.method === 'POST' && pathname === '/notes') {
      if (!admin) return [401, { title: 'who are you' }];
      const note = { id: nextId, ...body() };
      nextId += 1;
      notes.push(note);
      return [201, note, { location: `/notes/${note.id}`, etag: tagOf(note) }];
    }
    const note = notes.find((one) => `${one.id}` === id);
    if (note === undefined) return [404, { title: 'no such note' }];
    if (request.method === 'GET') return [200, note, { etag: tagOf(note) }];
    if (!admin) return [401, { title: 'who are you' }];
    if (request.method === 'DELETE') {
      notes = notes.filter((one) => one !== note);
      return [fault === 'delete-says-ok' ? 200 : 204, undefined];
    }
    if (request.method === 'PUT') {
      const ifMatch = request.headers['if-match'];
      if (fault !== 'etag-ignored' && ifMatch !== undefined && ifMatch !== '*' && ifMatch !== tagOf(note)) {
        return [412, { title: 'changed since' }];
      }
      Object.assign(note, body());
      return [200, note, { etag: tagOf(note) }];
    }
    return [405, { title: 'no' }];
  };

  const server = http.createServer((request, response) => {
    requests += 1;
    if (dirtyFile !== undefined && !existsSync(dirtyFile)) {
      reset();
      writeFileSync(dirtyFile, '');
    }
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      let told: ReturnType<typeof answer>;
      try {
        told = answer(request, Buffer.concat(chunks).toString('utf8'));
      } catch {
        told = [400, { title: 'not like that' }];
      }
      const [status, value, headers = {}] = told;
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(value === undefined ? undefined : JSON.stringify(value));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    reset,
    requests: () => requests,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Its description, as somebody would have written it. */
export const notesApi = {
  openapi: '3.0.3',
  info: { title: 'notes', version: '1' },
  paths: {
    '/notes': {
      get: {
        parameters: [
          { name: 'limit', in: 'query', schema: { type: 'integer', minimum: 1, maximum: 5 } },
          { name: 'cursor', in: 'query', schema: { type: 'string' } },
        ],
        responses: {},
      },
      post: { security: [{ bearer: [] }], requestBody: { $ref: '#/components/requestBodies/Note' }, responses: {} },
    },
    '/notes/{id}': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer' } }],
      get: { responses: {} },
      put: {
        security: [{ bearer: [] }],
        parameters: [{ name: 'If-Match', in: 'header', schema: { type: 'string' } }],
        requestBody: { $ref: '#/components/requestBodies/Note' },
        responses: {},
      },
      delete: { security: [{ bearer: [] }], responses: {} },
    },
  },
  components: {
    requestBodies: {
      Note: { content: { 'application/json': { schema: { $ref: '#/components/schemas/NewNote' } } } },
    },
    schemas: {
      NewNote: {
        type: 'object',
        required: ['title'],
        additionalProperties: false,
        properties: {
          title: { type: 'string', minLength: 1, maxLength: 20 },
          stars: { type: 'integer', minimum: 0, maximum: 5, default: 1 },
        },
      },
    },
  },
};
