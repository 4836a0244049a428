import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeAuthority } from '@strangler/platform/service-trust/testing/certificates.ts';
import { type InProcessProxy, type InProcessWishes, startTransparentProxy } from './start-transparent-proxy.ts';

export type TestCertificate = { cert: string; key: string };

/** A certificate for 127.0.0.1 that no client will check. */
export const makeTestCertificate = async (): Promise<TestCertificate> => {
  const folder = await mkdtemp(join(tmpdir(), 'http2-'));
  try {
    const { certFile, keyFile } = await (await makeAuthority(folder)).issue('proxy', 'IP:127.0.0.1');
    return { cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
  } finally {
    await rm(folder, { recursive: true });
  }
};

export const startHttp2Proxy = (
  tls: TestCertificate,
  { http2 = {}, ...wishes }: InProcessWishes,
): Promise<InProcessProxy> => startTransparentProxy({ ...wishes, tls, http2 });

export const connectHttp2 = async (port: number): Promise<ClientHttp2Session> => {
  const session = connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  session.on('error', () => {});
  await once(session, 'connect');
  return session;
};

export type Http2Answer = {
  status: number;
  /** Names and values in turn, without pseudo-headers. */
  rawHeaders: string[];
  body: Buffer;
  trailers: Record<string, unknown>;
  informed: number[];
};

/** Asks and reads the whole answer; rejects where the stream is reset. */
export const askHttp2 = async (
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body: Buffer | string | null = null,
): Promise<Http2Answer> => {
  const stream = session.request({ ':authority': 'shop.test', ...headers }, { endStream: body === null });
  if (body !== null) stream.end(body);
  return readHttp2(stream);
};

export const readHttp2 = (stream: ClientHttp2Stream): Promise<Http2Answer> =>
  new Promise((resolve, reject) => {
    const answer: Http2Answer = { status: 0, rawHeaders: [], body: Buffer.alloc(0), trailers: {}, informed: [] };
    const chunks: Buffer[] = [];
    stream.on('headers', (headers) => void answer.informed.push(Number(headers[':status'])));
    stream.on('response', (headers, _flags, rawHeaders?: string[]) => {
      answer.status = Number(headers[':status']);
      answer.rawHeaders = (rawHeaders ?? []).slice(2);
    });
    stream.on('trailers', (trailers) => Object.assign(answer.trailers, trailers));
    stream.on('data', (chunk: Buffer) => void chunks.push(chunk));
    stream.on('error', reject);
    stream.on('close', () => {
      answer.body = Buffer.concat(chunks);
      if (stream.rstCode === 0 && answer.status !== 0) resolve(answer);
      else reject(new Error(`the stream ended with code ${stream.rstCode}`));
    });
  });
