import { sideAt as kitSideAt } from '@strangler/migrations/http/side.ts';

/** A request, as it is put on the wire. */
export type RequestSpec = {
  method?: string;
  /** Sent as it is, well-formed or not. */
  path: string;
  headers?: Record<string, string>;
  /** A text is sent as it is; anything else as JSON, with its content type unless another is told. */
  body?: unknown;
};

/** A whole answer. */
export type Answer = {
  status: number;
  /** Every header as it was sent, names in lower case, in order of name. */
  headers: [name: string, value: string][];
  text: string;
  /** The text as JSON, undefined where it is not. */
  json: unknown;
};

/** Something that answers. Its connections are kept open; `close` ends them. */
export type Side = { name: string; send(request: RequestSpec): Promise<Answer>; close(): void };

export function sideAt(name: string, url: string): Side {
  const side = kitSideAt(name, url);
  return {
    name,
    close: side.close,
    async send({ method = 'GET', path, headers = {}, body }) {
      const text = body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body);
      const type: Record<string, string> = text === null ? {} : { 'content-type': 'application/json' };
      const answer = await side.send({ method, path, headers: { ...type, ...headers }, body: text });
      return {
        status: answer.status,
        headers: answer.headers.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
        text: answer.bytes.toString('utf8'),
        json: answer.json,
      };
    },
  };
}

export function headerOf(answer: Answer | undefined, name: string): string {
  return answer?.headers.find(([found]) => found === name)?.[1] ?? '';
}

/** The id of what an answer tells of. */
export function idIn(answer: Answer | undefined): number {
  const { id } = (answer?.json ?? {}) as { id?: number };
  if (id === undefined) throw new Error(`expected an answer with an id, found ${answer?.text ?? 'none'}`);
  return id;
}
