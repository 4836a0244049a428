import http from 'node:http';

/**
 * Reads at an even rate, whatever the answers take, and measures each from the moment at which it was due: a server that stops for
 * a while is not spared the requests that it would have kept waiting (G. Tene, "How NOT to Measure Latency").
 * Prints one line of JSON.
 */
const { TARGET, RATE, SECONDS, AUTHORIZATION } = process.env;
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const latenciesMs: number[] = [];
const everyMs = 1_000 / Number(RATE);
const count = Math.round(Number(RATE) * Number(SECONDS));
let failed = 0;

const read = (dueMs: number): Promise<void> =>
  new Promise((resolve) => {
    const request = http.get(TARGET!, { agent, headers: { authorization: AUTHORIZATION! } }, (answer) => {
      answer.resume();
      answer.on('end', () => {
        latenciesMs.push(performance.now() - dueMs);
        if (answer.statusCode !== 200) failed += 1;
        resolve();
      });
    });
    request.on('error', () => {
      failed += 1;
      resolve();
    });
  });

const startMs = performance.now();
const all: Promise<void>[] = [];
while (all.length < count) {
  const dueMs = startMs + all.length * everyMs;
  const leftMs = dueMs - performance.now();
  if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
  all.push(read(dueMs));
}
await Promise.all(all);
agent.destroy();
latenciesMs.sort((one, other) => one - other);
const at = (share: number): number =>
  latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(share * latenciesMs.length))]!;
process.stdout.write(`${JSON.stringify({ p50Ms: at(0.5), p99Ms: at(0.99), failed })}\n`);
