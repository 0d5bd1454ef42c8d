/** `convert --dry-run`: what the whole conversion takes, from one measured layer. */
import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { freeBytes } from '@mha2mla/checkpoint/node';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { ConvertRunOptions } from '../../convert/convert-model';
import { dryRun } from '../../convert/dry-run';
import { discardingOutput } from '../../node/discarding-output';
import { spillHidden } from '../../node/spill-hidden';
import { duration, sizeText } from '../quantities';

/** The document of `--json`. */
export interface DryRunDocument {
  dryRun: true;
  layers: number;
  seconds: { total: number; layer: number };
  peakMemoryBytes: number;
  diskBytes: { output: number; hiddenStates: number; free: number };
}

export interface DryRunOptions extends ConvertRunOptions {
  out: string;
  /** Bytes of hidden states that stay in memory. */
  aboveBytes: number;
  /** When the command began, in ms, so that what comes before the conversion counts. */
  began: number;
}

/** Measure one layer, and write nothing in OUT. */
export async function measureDryRun(
  source: VlmSource,
  { out, aboveBytes, began, ...options }: DryRunOptions,
): Promise<DryRunDocument> {
  const before = (performance.now() - began) / 1000;
  const folder = await nearestFolder(dirname(resolve(out)));
  const hidden = spillHidden({ folder, aboveBytes });
  try {
    const output = discardingOutput(folder);
    const { layers, seconds, diskBytes } = await dryRun(source, output, {
      ...options,
      keepHidden: hidden.keep,
    });
    return {
      dryRun: true,
      layers,
      seconds: { ...seconds, total: before + seconds.total },
      // The samples' memory is all there is with the first layer; others take no more than it.
      peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
      diskBytes: {
        output: diskBytes.output,
        hiddenStates: Math.max(0, diskBytes.hiddenStates - aboveBytes),
        free: await freeBytes(folder),
      },
    };
  } finally {
    await hidden.close();
  }
}

export function describeDryRun({
  layers,
  seconds,
  peakMemoryBytes,
  diskBytes: { output, hiddenStates, free },
}: DryRunDocument): string {
  const missing = output + hiddenStates - free;
  return [
    `time    ${duration(seconds.total)}, ${layers} layers of ${duration(seconds.layer)}`,
    `memory  ${sizeText(peakMemoryBytes)} at most`,
    `disk    ${sizeText(output)} for the result, ${sizeText(hiddenStates)} for hidden states meanwhile; ${sizeText(free)} are free${missing > 0 ? `, ${sizeText(missing)} too few` : ''}`,
  ].join('\n');
}

/** A folder that exists, on the disk that `path` lies on or would lie on. */
async function nearestFolder(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    const found = await stat(folder).catch(() => undefined);
    if (found?.isDirectory() || dirname(folder) === folder) return folder;
  }
}
