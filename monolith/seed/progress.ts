import { Presets, SingleBar } from 'cli-progress';
import type { SeedProgress } from './seed.ts';

/** How a person sees the seeding go on. */
export type ProgressDisplay = {
  update(progress: SeedProgress): void;
  stop(): void;
};

/** A bar with rate and time left on a terminal; elsewhere a line for each tenth. */
export function progressDisplay(stream: NodeJS.WriteStream): ProgressDisplay {
  return stream.isTTY ? bar(stream) : lines(stream);
}

function bar(stream: NodeJS.WriteStream): ProgressDisplay {
  const startedMs = performance.now();
  const single = new SingleBar(
    {
      stream,
      format: '{bar} {percentage}%  {value}/{total} rows  {rate}  {eta_formatted} left  {table}',
      etaBuffer: 50,
      hideCursor: true,
    },
    Presets.shades_classic,
  );
  let begun = false;
  return {
    update({ table, rowsDone, rowsTotal }) {
      if (!begun) single.start(rowsTotal, 0, { table, rate: '' });
      begun = true;
      single.update(rowsDone, { table, rate: rate(rowsDone, startedMs) });
    },
    stop() {
      if (begun) single.stop();
    },
  };
}

function lines(stream: NodeJS.WriteStream): ProgressDisplay {
  const startedMs = performance.now();
  let tenthShown = 0;
  return {
    update({ table, rowsDone, rowsTotal }) {
      const tenth = Math.floor((10 * rowsDone) / rowsTotal);
      if (tenth <= tenthShown) return;
      tenthShown = tenth;
      const leftMs = ((performance.now() - startedMs) / rowsDone) * (rowsTotal - rowsDone);
      stream.write(
        `${tenth * 10}%  ${rowsDone}/${rowsTotal} rows  ${rate(rowsDone, startedMs)}  ${Math.ceil(leftMs / 1000)} s left  ${table}\n`,
      );
    },
    stop() {},
  };
}

function rate(rows: number, startedMs: number): string {
  return `${Math.round(rows / Math.max(0.001, (performance.now() - startedMs) / 1000))} rows/s`;
}
