import type { Contract } from './openapi-contract.ts';

export type ApiAnswer<Body = unknown> = { status: number; headers: Headers; body: Body; text: string };

export type RequestOptions = {
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is; wants a content-type among the headers. */
  raw?: string | Buffer;
  headers?: Record<string, string>;
  /** Access token; null for none. Default: the client's own. */
  token?: string | null;
};

/** An HTTP client that throws on every answer that the OpenAPI document does not describe. */
export type ContractClient = {
  // biome-ignore lint/suspicious/noExplicitAny: tests say themselves what they expect of a body
  request<Body = any>(method: string, path: string, options?: RequestOptions): Promise<ApiAnswer<Body>>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  get<Body = any>(path: string, options?: RequestOptions): Promise<ApiAnswer<Body>>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  post<Body = any>(path: string, json?: unknown, options?: RequestOptions): Promise<ApiAnswer<Body>>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  put<Body = any>(path: string, json?: unknown, options?: RequestOptions): Promise<ApiAnswer<Body>>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  patch<Body = any>(path: string, json?: unknown, options?: RequestOptions): Promise<ApiAnswer<Body>>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  delete<Body = any>(path: string, options?: RequestOptions): Promise<ApiAnswer<Body>>;
  /** The same client with another access token, or with none. */
  as(token: string | undefined): ContractClient;
};

export function contractClient({
  url,
  contract,
  token: ownToken,
}: {
  url: string;
  contract: Contract;
  token?: string | undefined;
}): ContractClient {
  const request = async <Body>(
    method: string,
    path: string,
    options: RequestOptions = {},
  ): Promise<ApiAnswer<Body>> => {
    const headers: Record<string, string> = {};
    const token = options.token === null ? undefined : (options.token ?? ownToken);
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    if (options.json !== undefined) headers['content-type'] = 'application/json';
    Object.assign(headers, options.headers);
    const body = options.raw ?? (options.json === undefined ? undefined : JSON.stringify(options.json));
    const response = await fetch(`${url}${path}`, {
      method,
      headers,
      redirect: 'manual',
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    contract.check({ method, path, status: response.status, headers: response.headers, text });
    const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '') && text !== '';
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: (isJson ? JSON.parse(text) : undefined) as Body,
    };
  };

  return {
    request,
    get: (path, options) => request('GET', path, options),
    post: (path, json, options) => request('POST', path, { json, ...options }),
    put: (path, json, options) => request('PUT', path, { json, ...options }),
    patch: (path, json, options) => request('PATCH', path, { json, ...options }),
    delete: (path, options) => request('DELETE', path, options),
    as: (token) => contractClient({ url, contract, token }),
  };
}
