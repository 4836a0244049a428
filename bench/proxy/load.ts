import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import autocannon from 'autocannon';

export type Measured = { requestsPerSecond: number; p99Ms: number; failed: number };

export type LoadOptions = {
  url: string;
  headers: Record<string, string>;
  connections: number;
  seconds: number;
  core: number | null;
};

export type Load = { name: string; run(options: LoadOptions): Promise<Measured> };

/** wrk, which costs the core that it shares with the upstream least. */
export const wrk: Load = {
  name: 'wrk',
  async run({ url, headers, connections, seconds, core }) {
    const words = [
      'wrk',
      '-t1',
      `-c${connections}`,
      `-d${seconds}s`,
      '--latency',
      ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
      url,
    ];
    const [command, ...rest] = core === null ? words : ['taskset', '-c', String(core), ...words];
    const { stdout } = await promisify(execFile)(command!, rest, { timeout: (seconds + 20) * 1000 });
    return readWrk(stdout);
  },
};

/** autocannon, where wrk is not installed; it runs in this process and costs much more. */
export const cannon: Load = {
  name: 'autocannon',
  async run({ url, headers, connections, seconds }) {
    const result = await autocannon({ url, headers, connections, duration: seconds });
    return {
      requestsPerSecond: result.requests.average,
      p99Ms: result.latency.p99,
      failed: result.errors + result.non2xx,
    };
  },
};

/** Reads what wrk prints. @throws Error where its words are not those that are known. */
export const readWrk = (text: string): Measured => {
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(text);
  const p99 = /99%\s+([\d.]+)(us|ms|s)\b/.exec(text);
  if (rate === null || p99 === null)
    throw new Error(`expected wrk's report, found ${JSON.stringify(text.slice(0, 200))}`);
  const socketErrors = [...text.matchAll(/\b(?:connect|read|write|timeout) (\d+)/g)];
  const non2xx = /Non-2xx or 3xx responses: (\d+)/.exec(text);
  const unit = { us: 0.001, ms: 1, s: 1000 }[p99[2] as 'us' | 'ms' | 's'];
  return {
    requestsPerSecond: Number(rate[1]),
    p99Ms: Number(p99[1]) * unit,
    failed: socketErrors.reduce((sum, [, count]) => sum + Number(count), 0) + Number(non2xx?.[1] ?? 0),
  };
};
