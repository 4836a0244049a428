import { createServer } from 'node:http';
import { Pool } from 'undici';

// The least that can be done with undici's dispatch: headers and body passed on, nothing decided, nothing repaired.
const pool = new Pool(process.env.UPSTREAM!, { connections: 256 });

createServer((req, res) => {
  pool.stream(
    {
      method: req.method as 'GET',
      path: req.url!,
      headers: withoutHopByHop(req.headers),
      body: req.method === 'GET' ? null : req,
      opaque: res,
    },
    ({ statusCode, headers }) => {
      res.writeHead(statusCode, withoutHopByHop(headers));
      return res;
    },
    (error) => {
      if (error) res.destroy();
    },
  );
}).listen(Number(process.env.PORT), '127.0.0.1');

const withoutHopByHop = (headers: Record<string, string | string[] | undefined>): Record<string, string | string[]> => {
  const kept: Record<string, string | string[]> = {};
  for (const name in headers) {
    if (name === 'connection' || name === 'keep-alive' || name === 'transfer-encoding') continue;
    kept[name] = headers[name]!;
  }
  return kept;
};
