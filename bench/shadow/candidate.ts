import { createServer } from 'node:http';

/** The service with which answers are compared, when it is not well: `slow` answers after five seconds, `flooding` never ends. */
const { PORT, MANNER } = process.env;
const flood = Buffer.alloc(64 * 1024, 'x');

createServer({ keepAliveTimeout: 65_000 }, (req, res) => {
  req.resume();
  if (MANNER === 'slow') {
    setTimeout(() => res.end('{}'), 5_000);
    return;
  }
  const pour = (): void => {
    while (!res.destroyed && res.write(flood)) {}
  };
  res.on('drain', pour);
  pour();
}).listen(Number(PORT), '127.0.0.1');
