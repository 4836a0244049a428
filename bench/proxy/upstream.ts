import { createServer } from 'node:http';

/** The server behind every contestant: about one kilobyte of JSON, as a product's page would be. */
const body = JSON.stringify({
  id: 7,
  name: 'Walnut desk',
  price_cents: 45900,
  description: 'x'.repeat(860),
  rating: { average: 4.5, count: 12 },
  currency: 'EUR',
});
const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), etag: '"7-1"' };

createServer({ keepAliveTimeout: 65_000 }, (req, res) => {
  req.resume();
  res.writeHead(200, headers);
  res.end(body);
}).listen(Number(process.env.PORT), '127.0.0.1');
