import type { RawStep } from '@strangler/platform/testing/sockets.ts';

/** A request as an upstream must have seen it. A header that is null must not be there. */
export type Expected = {
  method: string;
  target: string;
  body?: string;
  headers?: Record<string, string | null>;
};

/** One way to write a request, and what may become of it: refused, or the same requests seen by both. */
export type FramingCase = {
  name: string;
  bytes: string | readonly RawStep[];
  outcome:
    | { kind: 'refused'; status?: number; connection: 'close' | 'keep' }
    | { kind: 'seen'; requests: readonly Expected[]; connection: 'close' | 'keep' };
};

const host = 'Host: shop.test\r\n';
const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n';

const refused = (name: string, bytes: string | readonly RawStep[], status?: number): FramingCase => ({
  name,
  bytes,
  outcome: { kind: 'refused', connection: 'close', ...(status === undefined ? {} : { status }) },
});
const answered = (name: string, bytes: string, status: number): FramingCase => ({
  name,
  bytes,
  outcome: { kind: 'refused', status, connection: 'keep' },
});
const seen = (
  name: string,
  bytes: string | readonly RawStep[],
  requests: readonly Expected[],
  connection: 'close' | 'keep' = 'keep',
): FramingCase => ({ name, bytes, outcome: { kind: 'seen', requests, connection } });

const get = (target: string, lines = ''): string => `GET ${target} HTTP/1.1\r\n${host}${lines}\r\n`;
const post = (lines: string, body: string): string => `POST /in HTTP/1.1\r\n${host}${lines}\r\n${body}`;
const chunked = (body: string, lines = ''): string => post(`Transfer-Encoding: chunked\r\n${lines}`, body);

/** Bodies: where one ends is where the next request begins. */
const bodies: FramingCase[] = [
  seen('a body of a declared length', post('Content-Length: 5\r\n', 'hello'), [
    { method: 'POST', target: '/in', body: 'hello' },
  ]),
  seen('a length with zeros before it', post('Content-Length: 0005\r\n', 'hello'), [
    { method: 'POST', target: '/in', body: 'hello' },
  ]),
  seen('a length between spaces and tabs', post('Content-Length: \t 5 \t\r\n', 'hello'), [
    { method: 'POST', target: '/in', body: 'hello' },
  ]),
  seen('a request within a body', post(`Content-Length: ${smuggled.length}\r\n`, smuggled), [
    { method: 'POST', target: '/in', body: smuggled },
  ]),
  seen('a GET with a body that is a request', `GET /in HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nGET /`, [
    { method: 'GET', target: '/in', body: 'GET /' },
  ]),
  seen('a GET with chunks', `GET /in HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`, [
    { method: 'GET', target: '/in', body: 'ab' },
  ]),
  seen('a DELETE with length 0', `DELETE /in HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n`, [
    { method: 'DELETE', target: '/in', body: '' },
  ]),
  seen('an OPTIONS with chunks', `OPTIONS /in HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, [
    { method: 'OPTIONS', target: '/in', body: '' },
  ]),
  seen('a POST without any length', `POST /in HTTP/1.1\r\n${host}\r\n`, [{ method: 'POST', target: '/in', body: '' }]),
  seen('TRANSFER-ENCODING: ChUnKeD after a tab', post('TRANSFER-ENCODING:\tChUnKeD\r\n', '2\r\nab\r\n0\r\n\r\n'), [
    { method: 'POST', target: '/in', body: 'ab' },
  ]),
  seen('chunks with extensions', chunked('2;name=value;other="a b"\r\nab\r\n1;a\r\nc\r\n0;last\r\n\r\n'), [
    { method: 'POST', target: '/in', body: 'abc' },
  ]),
  seen(
    'chunk sizes with zeros before them and in both cases',
    chunked('0a\r\n0123456789\r\n0A\r\n0123456789\r\n000\r\n\r\n'),
    [{ method: 'POST', target: '/in', body: '01234567890123456789' }],
  ),
  seen('a chunk that holds an end of chunks', chunked(`${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`), [
    { method: 'POST', target: '/in', body: smuggled },
  ]),
  seen(
    'chunks in packets of one byte',
    [...chunked('2\r\nab\r\n0\r\n\r\n')],
    [{ method: 'POST', target: '/in', body: 'ab' }],
  ),
  seen(
    'trailers that frame, route or authenticate',
    chunked(
      '2\r\nab\r\n0\r\nHost: other.test\r\nAuthorization: Bearer b\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Service-Token: t\r\n\r\n',
      'Trailer: Authorization\r\n',
    ),
    [
      {
        method: 'POST',
        target: '/in',
        body: 'ab',
        headers: { host: 'shop.test', authorization: null, 'x-forwarded-for': '127.0.0.1', 'x-service-token': null },
      },
    ],
  ),
  refused('Transfer-Encoding as a trailer', chunked('2\r\nab\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n')),
  refused('a bare CR among the trailers', chunked('2\r\nab\r\n0\r\nX-A: b\rX-B: c\r\n\r\n')),
  refused('a folded trailer', chunked('2\r\nab\r\n0\r\nX-A: b\r\n c\r\n\r\n')),
  refused('a chunk extension with a bare CR', chunked('2;a\rb\r\nab\r\n0\r\n\r\n')),
  refused('a chunk extension with NUL', chunked('2;a\0b\r\nab\r\n0\r\n\r\n')),
  seen('a chunk size of 17 digits that begin with zeros', chunked('00000000000000002\r\nab\r\n0\r\n\r\n'), [
    { method: 'POST', target: '/in', body: 'ab' },
  ]),
  refused('Transfer-Encoding: chunked and a tab', post('Transfer-Encoding: chunked\t\r\n', '0\r\n\r\n'), 400),
  refused('a chunk size just beyond 64 bits', chunked('10000000000000000\r\n')),
  refused('a chunk size that fills 64 bits', chunked(`ffffffffffffffff\r\nab\r\n0\r\n\r\n`)),
  refused('a chunk size with a vertical tab', chunked('2\v\r\nab\r\n0\r\n\r\n')),
  refused('a chunk size in letters that are no digits', chunked('g\r\nab\r\n0\r\n\r\n')),
  refused('a chunk without its CRLF', chunked('2\r\nab0\r\n\r\n')),
  refused('extensions of many kilobytes', chunked(`1;${'a'.repeat(40_000)}\r\na\r\n0\r\n\r\n`)),
  refused('trailers of many kilobytes', chunked(`1\r\na\r\n0\r\n${`X-T: ${'a'.repeat(1_000)}\r\n`.repeat(40)}\r\n`)),
  refused(
    'Transfer-Encoding: chunked followed by a vertical tab',
    post('Transfer-Encoding: chunked\v\r\n', '0\r\n\r\n'),
    400,
  ),
  refused('Transfer-Encoding: chunked between NULs', post('Transfer-Encoding: \0chunked\r\n', '0\r\n\r\n'), 400),
  refused(
    'Transfer-Encoding: chunked with a bare CR behind',
    post('Transfer-Encoding: chunked\r\r\n', '0\r\n\r\n'),
    400,
  ),
  refused('Transfer-Encoding after a bare CR', post('X: y\rTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400),
  refused('Transfer-Encoding after a bare LF', post('X: y\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400),
  refused(
    'Transfer-Encoding: identity beside a length',
    post('Transfer-Encoding: identity\r\nContent-Length: 1\r\n', 'a'),
    400,
  ),
  refused('Content-Length: 5,', post('Content-Length: 5,\r\n', 'hello'), 400),
  refused('Content-Length: 5;a', post('Content-Length: 5;a\r\n', 'hello'), 400),
  refused('Content-Length: 5.0', post('Content-Length: 5.0\r\n', 'hello'), 400),
  refused('Content-Length: 5e0', post('Content-Length: 5e0\r\n', 'hello'), 400),
  refused('Content-Length: five in digits of another script', post('Content-Length: \xd9\xa5\r\n', 'hello'), 400),
  refused('a Content-Length on a folded line', post('Content-Length:\r\n 5\r\n', 'hello'), 400),
  refused(
    'a GET with both lengths',
    `${get('/in', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n')}0\r\n\r\n`,
    400,
  ),
];

/** Names that a server may take for one another. Upstreams that hand headers on as variables read `_` as `-`. */
const names: FramingCase[] = [
  refused('Content_Length beside Content-Length', post('Content-Length: 5\r\nContent_Length: 0\r\n', 'hello'), 400),
  refused('Content_Length alone', post('Content_Length: 5\r\n', 'hello'), 400),
  refused('Transfer_Encoding', post('Transfer_Encoding: chunked\r\n', '0\r\n\r\n'), 400),
  seen(
    'an identity that is claimed, with dashes and with underscores',
    get(
      '/in',
      [
        'X-Forwarded-For: 6.6.6.6',
        'X_Forwarded_For: 6.6.6.6',
        'x_forwarded-for: 6.6.6.6',
        'X-Forwarded_Host: evil.test',
        'X_Real_IP: 6.6.6.6',
        'X-Real-IP: 6.6.6.6',
        'Forwarded: for=6.6.6.6',
        'X-Service-Token: stolen',
        'X_Service_Token: stolen',
        'X-Strangler-Epoch: 9',
        'X_Strangler_Epoch: 9',
        'x-strangler_dry-run: 1',
        '',
      ].join('\r\n'),
    ),
    [
      {
        method: 'GET',
        target: '/in',
        headers: {
          'x-forwarded-for': '127.0.0.1',
          'x-forwarded-host': 'shop.test',
          'x-real-ip': null,
          'x-service-token': null,
          'x-strangler-epoch': null,
          'x-strangler-dry-run': null,
        },
      },
    ],
  ),
  seen(
    'Connection that names what belongs to the message',
    get(
      '/in',
      'Authorization: Bearer a\r\nCookie: a=b\r\nConnection: authorization, cookie, host, x-forwarded-for, content-length\r\n',
    ),
    [
      {
        method: 'GET',
        target: '/in',
        headers: { authorization: 'Bearer a', cookie: 'a=b', host: 'shop.test', 'x-forwarded-for': '127.0.0.1' },
      },
    ],
  ),
  seen('names made of every sign that a name may have', get('/in', "X!#$%&'*+.^`|~9: a\r\n"), [
    { method: 'GET', target: '/in' },
  ]),
  refused('a name with a parenthesis', get('/in', 'X(A): a\r\n'), 400),
  refused('a name with a byte beyond ASCII', get('/in', 'X\xe9: a\r\n'), 400),
  refused('a line without a colon', get('/in', 'nothing\r\n'), 400),
  refused('a tab before the colon', get('/in', 'Content-Length\t: 5\r\n'), 400),
  refused('a second Host with an underscore’s cousin', `GET /in HTTP/1.1\r\n${host}hOsT: other.test\r\n\r\n`, 400),
  refused('a Host with NUL', 'GET /in HTTP/1.1\r\nHost: shop.test\0other.test\r\n\r\n', 400),
  refused('a Host with a tab within', 'GET /in HTTP/1.1\r\nHost: shop.test\tother.test\r\n\r\n', 400),
  refused('a Host with an encoded slash', 'GET /in HTTP/1.1\r\nHost: shop.test%2fadmin\r\n\r\n', 400),
  seen('values in bytes beyond ASCII', get('/in', 'X-Name: \xc3\xa9\r\n'), [{ method: 'GET', target: '/in' }]),
];

/** Targets: what is routed on is what the upstream is asked, byte for byte. */
const targets: FramingCase[] = [
  ...[
    '/a%2fb',
    '/a%5cb',
    '/a\\..\\b',
    '/a/%2e%2e/b',
    '/a/%252e%252e/b',
    '/a/..;/b',
    '/a;x=1/b;y',
    '//a//b',
    '/./a/.',
    '/a?b=1&b=2&b[]=3&b=',
    '/a??b#'.replace('#', ''),
    '/a?next=http://other.test/',
    '/%',
    '/%00',
    '/a%0d%0aX:y',
    '/%c0%ae%c0%ae/',
    '/%u002e/',
    `/${'a'.repeat(8_000)}`,
  ].map((target) => seen(`the target ${target.slice(0, 40)}`, get(target), [{ method: 'GET', target }])),
  seen('dot segments above the root', get('/../../etc/passwd'), [{ method: 'GET', target: '/../../etc/passwd' }]),
  seen('an absolute-form target with its own Host', `GET http://shop.test/in?a HTTP/1.1\r\n${host}\r\n`, [
    { method: 'GET', target: '/in?a', headers: { host: 'shop.test' } },
  ]),
  seen(
    'an absolute-form target in HTTP/1.0 that needs no Host',
    'GET http://shop.test/in HTTP/1.0\r\n\r\n',
    [{ method: 'GET', target: '/in', headers: { host: 'shop.test', 'x-forwarded-host': 'shop.test' } }],
    'close',
  ),
  seen('https in an absolute-form target', `GET https://shop.test/in HTTP/1.1\r\n${host}\r\n`, [
    { method: 'GET', target: '/in', headers: { host: 'shop.test', 'x-forwarded-proto': 'http' } },
  ]),
  refused('an absolute-form target with two ports', `GET http://shop.test:80:81/in HTTP/1.1\r\n${host}\r\n`, 400),
  refused(
    'an absolute-form target with the port that Host leaves out',
    `GET http://shop.test:81/ HTTP/1.1\r\n${host}\r\n`,
    400,
  ),
  refused('an absolute-form target without Host in HTTP/1.1', 'GET http://shop.test/in HTTP/1.1\r\n\r\n', 400),
  refused(
    'an absolute-form target with a backslash',
    `GET http://shop.test\\@other.test/ HTTP/1.1\r\n${host}\r\n`,
    400,
  ),
  refused('an authority as the target of GET', `GET shop.test:80 HTTP/1.1\r\n${host}\r\n`, 400),
  refused('a target of a question mark', `GET ?a HTTP/1.1\r\n${host}\r\n`, 400),
  refused('NUL in a target', get('/a\0b'), 400),
  refused('a bare CR in a target', get('/a\rb'), 400),
  refused('DEL in a target', get('/a\x7fb'), 400),
  refused('UTF-8 in a target', get('/\xc3\xa9'), 400),
  refused('a target beyond 8 KiB', get(`/${'a'.repeat(8_200)}`), 414),
];

/** Versions, methods and connections. */
const connections: FramingCase[] = [
  seen('empty lines before a request', `\r\n\r\n${get('/in')}`, [{ method: 'GET', target: '/in' }]),
  seen('HTTP/1.0 that keeps its connection', `GET /in HTTP/1.0\r\n${host}Connection: keep-alive\r\n\r\n`, [
    { method: 'GET', target: '/in' },
  ]),
  seen('HTTP/1.0 that says nothing', `GET /in HTTP/1.0\r\n${host}\r\n`, [{ method: 'GET', target: '/in' }], 'close'),
  seen(
    'close and keep-alive at once',
    get('/in', 'Connection: keep-alive, close\r\n'),
    [{ method: 'GET', target: '/in' }],
    'close',
  ),
  seen(
    'an upgrade to h2c, which would hide what follows',
    get('/in', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n'),
    [{ method: 'GET', target: '/in', headers: { upgrade: null, 'http2-settings': null } }],
    'close',
  ),
  seen('three requests in one packet', get('/1') + post('Content-Length: 1\r\n', 'x') + get('/3'), [
    { method: 'GET', target: '/1' },
    { method: 'POST', target: '/in', body: 'x' },
    { method: 'GET', target: '/3' },
  ]),
  seen('a method to be read instead of the real one', get('/in', 'X-HTTP-Method-Override: DELETE\r\n'), [
    { method: 'GET', target: '/in', headers: { 'x-http-method-override': 'DELETE' } },
  ]),
  seen('a HEAD', `HEAD /in HTTP/1.1\r\n${host}\r\n`, [{ method: 'HEAD', target: '/in' }]),
  seen('Expect: 100-continue with its body behind', post('Content-Length: 2\r\nExpect: 100-Continue\r\n', 'ab'), [
    { method: 'POST', target: '/in', body: 'ab', headers: { expect: null } },
  ]),
  answered('an expectation that nobody knows', get('/in', 'Expect: 200-maybe\r\n'), 417),
  answered('TRACE', `TRACE /in HTTP/1.1\r\n${host}\r\n`, 405),
  refused('CONNECT', `CONNECT other.test:22 HTTP/1.1\r\n${host}\r\n`, 501),
  refused('CONNECT with a body behind', `CONNECT 127.0.0.1:80 HTTP/1.1\r\n${host}\r\n${smuggled}`, 501),
  refused('the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'),
  refused('HTTP/0.9', 'GET /in\r\n'),
  refused('a version with two digits', `GET /in HTTP/1.10\r\n${host}\r\n`, 400),
  refused('a version in lower case', `GET /in http/1.1\r\n${host}\r\n`, 400),
  // Node's parser knows these protocols and does not tell them from HTTP/1.0; both ends see the same request.
  seen('a version of RTSP', `OPTIONS /in RTSP/1.0\r\n${host}\r\n`, [{ method: 'OPTIONS', target: '/in' }], 'close'),
  refused('a method of RTSP', `DESCRIBE /in RTSP/1.0\r\n${host}\r\n`, 501),
  refused('a method with a space before it', ` GET /in HTTP/1.1\r\n${host}\r\n`, 400),
  refused('a TLS greeting', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', 400),
  refused('a SOCKS greeting', '\x05\x01\0', 400),
  refused('a PROXY line', `PROXY TCP4 6.6.6.6 127.0.0.1 1 2\r\n${get('/in')}`),
  refused('300 header lines', get('/in', 'X-A: b\r\n'.repeat(300)), 431),
  refused('a header of 20 KiB', get('/in', `X-A: ${'b'.repeat(20_000)}\r\n`), 431),
];

/** Everything that is run against every pair; what is refused by the head alone is also proven byte for byte in testing/suite-framing.ts. */
export const framingCases: readonly FramingCase[] = [...bodies, ...names, ...targets, ...connections];
