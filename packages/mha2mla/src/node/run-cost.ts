/** What a run cost, as `cost.json` beside what it wrote: `report` draws on it. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface RunCost {
  /** Of this process, since the command began; a resumed run leaves out what came before. */
  seconds: number;
  resumed: boolean;
  /** Most memory that the process, its threads among it, held at once. */
  peakMemoryBytes: number;
  /** Of all files of the result. */
  sizeBytes: number;
}

/** @param began in ms, of `performance.now()`. */
export async function runCost(
  folder: string,
  { began, resumed }: { began: number; resumed: boolean },
): Promise<RunCost> {
  const files = (await readdir(folder)).filter((name) => !name.startsWith('.'));
  const sizes = await Promise.all(files.map(async (name) => (await stat(join(folder, name))).size));
  return {
    seconds: (performance.now() - began) / 1000,
    resumed,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    sizeBytes: sizes.reduce((sum, size) => sum + size, 0),
  };
}
