import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseSliceFile, type Slice, SliceFileError, type SliceFileFault } from './slice-file.ts';

/**
 * Reads every `<directory>/<slice>/slice.yaml`, in order of name.
 * @throws SliceFileError with every fault of every file, or naming the directory where it cannot be read.
 */
export const readSliceDirectory = async (directory: string): Promise<Slice[]> => {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    throw new SliceFileError([
      {
        file: directory,
        line: 1,
        path: 'directory',
        message: `cannot be read (${error.code}); name a folder of slices`,
      },
    ]);
  });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const slices: Slice[] = [];
  const faults: SliceFileFault[] = [];
  for (const folder of folders.sort()) {
    const file = join(directory, folder, 'slice.yaml');
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (text === null) continue;
    const { slice, faults: found } = parseSliceFile(text, file);
    faults.push(...found);
    if (slice === null) continue;
    if (slice.slice !== basename(folder)) {
      faults.push({
        file,
        line: 1,
        path: 'slice',
        message: `must be "${folder}", the name of its folder, found "${slice.slice}"`,
      });
    }
    slices.push(slice);
  }
  if (faults.length > 0) throw new SliceFileError(faults);
  return slices;
};
