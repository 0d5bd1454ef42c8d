import { createHash } from 'node:crypto';
import { rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import type { ConversionReport } from '../convert/conversion-report';
import type { ConvertOptions } from '../convert/convert-options';
import { spreadConversion } from '../jobs/spread-conversion';
import { withEngine } from '../node/engine/engine-session';
import { placeModel } from '../node/engine/place-model';
import type { ResultOutput } from '../output/result-output';
import type { Context } from './context';
import { type EngineFlags, engineChoice } from './engine-options';

export interface SpreadConvert {
  /** Of the model. */
  folder: string;
  out: string;
  flags: EngineFlags & { engine: string };
  /** Of the backend that all workers have. */
  backend: string;
  /** What decides the result. */
  fingerprint: Record<string, unknown>;
  options: ConvertOptions & { calibration: readonly ModelInputs[] };
}

/** Convert by jobs of threads, or of workers on other machines. */
export async function spreadConvert(
  source: VlmSource,
  output: ResultOutput,
  { folder, out, flags, backend, fingerprint, options }: SpreadConvert,
  { terminal, signal }: Pick<Context, 'terminal' | 'signal'>,
): Promise<ConversionReport> {
  // Threads need no place of anybody else's.
  const own = `${out}.jobs`;
  const here = flags.engine === 'threads' && flags.store === undefined;
  const places = here ? { store: own, models: dirname(resolve(folder)) } : {};
  const choice = engineChoice({ ...flags, ...places }, backend);
  const report = await withEngine(choice, async ({ engine, store, place }) => {
    const onProgress = terminal.progress;
    const model = await placeModel(folder, source, { store, place, onProgress });
    const named = JSON.stringify([fingerprint, model, choice.runtime]);
    const run = createHash('sha256').update(named).digest('hex');
    const spread = { ...options, engine, store, run, model, signal, onProgress };
    return spreadConversion(source, output, spread);
  });
  if (here) {
    await rmdir(join(own, 'runs'));
    await rmdir(own);
  }
  return report;
}
