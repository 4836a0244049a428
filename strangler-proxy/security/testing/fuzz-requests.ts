/** Numbers in [0, 1). */
export type Random = () => number;

/** The bytes of one connection, in the packets in which they are sent. */
export type FuzzedBytes = { packets: string[] };

const oneOf = <T>(random: Random, choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!;

/** The first choices are those of an honest client, who is imitated most of the time: a parser is led astray by little. */
const mostly = <T>(random: Random, choices: readonly T[], honest = 0.85): T =>
  random() < honest ? choices[0]! : oneOf(random, choices);

const methods = ['POST', 'GET', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH', 'PURGE', 'TRACE', 'get', 'FOO', 'CONNECT'];
const versions = ['HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'RTSP/1.0', 'http/1.1', ''];
const framings = [
  'Content-Length: 5',
  'Content-Length: 0',
  'Content-Length: 37',
  'Content-Length: +5',
  'Content-Length: 5, 5',
  'Content-Length : 5',
  'Content_Length: 5',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: Chunked',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding:\x0bchunked',
  'Transfer-Encoding: \tchunked',
  'Transfer_Encoding: chunked',
];
const others = [
  'Host: shop.test',
  'Host: other.test',
  'Connection: keep-alive',
  'Connection: close',
  'Connection: transfer-encoding, content-length, host',
  'Connection: Upgrade\r\nUpgrade: h2c',
  'Expect: 100-continue',
  'Trailer: X-T',
  'TE: trailers',
  'X-A: b\r\n c',
  'X-A:',
  ': b',
  'X-Forwarded-For: 6.6.6.6',
  `X-Long: ${'a'.repeat(500)}`,
];

/** A body, and the line that frames it as an honest client would. */
const bodyOf = (random: Random, turn: string): { body: string; framing: string } => {
  const inner = `GET /smuggled-${turn} HTTP/1.1\r\nHost: shop.test\r\n\r\n`;
  const chunked = 'Transfer-Encoding: chunked';
  return oneOf(random, [
    { body: '', framing: 'X-None: 1' },
    { body: 'hello', framing: 'Content-Length: 5' },
    { body: inner, framing: `Content-Length: ${inner.length}` },
    { body: `hello${inner}`, framing: 'Content-Length: 5' },
    { body: '5\r\nhello\r\n0\r\n\r\n', framing: chunked },
    { body: `5\r\nhello\r\n0\r\n\r\n${inner}`, framing: chunked },
    { body: `0\r\n\r\n${inner}`, framing: chunked },
    { body: `5;a=b\r\nhello\r\n0\r\nX-T: v\r\n\r\n${inner}`, framing: chunked },
    { body: `5\nhello\n0\n\n${inner}`, framing: chunked },
    { body: `0x5\r\nhello\r\n0\r\n\r\n${inner}`, framing: chunked },
    { body: `fffffffffffffffb\r\nhello\r\n0\r\n\r\n${inner}`, framing: chunked },
    { body: `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`, framing: chunked },
  ]);
};

const requestOf = (random: Random, turn: string): string => {
  const target = mostly(random, [
    `/${turn}`,
    `/${turn}/../x`,
    `//${turn}`,
    `http://shop.test/${turn}`,
    `http://other.test/${turn}`,
    `/${turn}?a=b&a=c`,
    '*',
    `/${turn} x`,
    `/${turn}%00`,
  ]);
  const { body, framing } = bodyOf(random, turn);
  const lines = ['Host: shop.test'];
  if (random() < 0.8) lines.push(framing);
  if (random() < 0.3) lines.push(oneOf(random, framings));
  if (random() < 0.5) lines.push(oneOf(random, others));
  lines.sort(() => random() - 0.5);
  return `${mostly(random, methods, 0.6)} ${target} ${mostly(random, versions)}\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
};

const tampering = [
  '\r',
  '\n',
  '\0',
  ' ',
  '\t',
  ':',
  '\x0b',
  '\x7f',
  '\xff',
  '\r\n',
  '\r\n\r\n',
  ',',
  ';',
  '0',
  'chunked',
];

/** Puts a byte in, takes one out, writes one over another, or gives a piece twice. */
const tamper = (random: Random, text: string): string => {
  const at = Math.floor(random() * (text.length + 1));
  switch (Math.floor(random() * 4)) {
    case 0:
      return text.slice(0, at) + oneOf(random, tampering) + text.slice(at);
    case 1:
      return text.slice(0, at) + text.slice(at + 1);
    case 2:
      return text.slice(0, at) + oneOf(random, tampering) + text.slice(at + 1);
    default: {
      const end = Math.min(text.length, at + Math.floor(random() * 40));
      return text.slice(0, end) + text.slice(at, end) + text.slice(end);
    }
  }
};

/** One connection's worth of what no honest client sends: requests with doubtful framing, tampered with, cut into packets. */
export const fuzzedBytes = (random: Random, turn: string): FuzzedBytes => {
  let text = requestOf(random, turn);
  if (random() < 0.4) text += requestOf(random, `${turn}-b`);
  for (let more = Math.floor(random() ** 2 * 4); more > 0; more--) text = tamper(random, text);
  const packets: string[] = [];
  while (text !== '' && packets.length < 3 && random() < 0.4) {
    const at = 1 + Math.floor(random() * text.length);
    packets.push(text.slice(0, at));
    text = text.slice(at);
  }
  if (text !== '') packets.push(text);
  return { packets };
};
