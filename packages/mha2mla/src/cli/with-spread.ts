import { createHash } from 'node:crypto';
import { rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { SpreadRun } from '../jobs/spread-run';
import { withEngine } from '../node/engine/engine-session';
import { placeModel } from '../node/engine/place-model';
import type { Context } from './context';
import { type EngineFlags, engineChoice } from './engine-options';

export interface SpreadSetting {
  /** Of the model. */
  folder: string;
  /** Beside which threads put what their jobs leave, where no store is given. */
  beside: string;
  flags: EngineFlags & { engine: string };
  /** Of the backend that all workers have. */
  backend: string;
  /** What decides the result. */
  fingerprint: Record<string, unknown>;
}

/** Have an engine and its store, for a run of jobs on a model. */
export async function withSpread<T>(
  source: VlmSource,
  { folder, beside, flags, backend, fingerprint }: SpreadSetting,
  { terminal, signal }: Pick<Context, 'terminal' | 'signal'>,
  use: (spread: SpreadRun) => Promise<T>,
): Promise<T> {
  // Threads need no place of anybody else's.
  const own = `${beside}.jobs`;
  const here = flags.engine === 'threads' && flags.store === undefined;
  const places = here ? { store: own, models: dirname(resolve(folder)) } : {};
  const choice = engineChoice({ ...flags, ...places }, backend);
  const result = await withEngine(choice, async ({ engine, store, place }) => {
    const onProgress = terminal.progress;
    const model = await placeModel(folder, source, { store, place, onProgress });
    const named = JSON.stringify([fingerprint, model, choice.runtime]);
    const run = createHash('sha256').update(named).digest('hex');
    return use({ engine, store, run, model, signal, onProgress });
  });
  if (here) {
    await rmdir(join(own, 'runs'));
    await rmdir(own);
  }
  return result;
}
