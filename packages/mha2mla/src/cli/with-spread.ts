import { createHash } from 'node:crypto';
import { rmdir } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { ModelRef } from '../jobs/job';
import type { SpreadRun } from '../jobs/spread-run';
import { withEngine } from '../node/engine/engine-session';
import { placeModel } from '../node/engine/place-model';
import type { Context } from './context';
import { type EngineFlags, engineChoice } from './engine-options';

export interface SpreadSetting {
  /** Of the model. */
  folder: string;
  /** The model that it was made of, where jobs need that, too. */
  teacher?: { folder: string; source: VlmSource };
  /** Beside which threads put what their jobs leave, where no store is given. */
  beside: string;
  flags: EngineFlags & { engine: string };
  /** Of the backend that all workers have. */
  backend: string;
  /** What decides the result. */
  fingerprint: Record<string, unknown>;
}

/** A run whose second model, if one was given, is where workers find it. */
type PlacedRun = SpreadRun & { teacher?: ModelRef };

/** Have an engine and its store, for a run of jobs on a model. */
export async function withSpread<T>(
  source: VlmSource,
  { folder, teacher: second, beside, flags, backend, fingerprint }: SpreadSetting,
  { terminal, signal }: Pick<Context, 'terminal' | 'signal'>,
  use: (spread: PlacedRun) => Promise<T>,
): Promise<T> {
  // Threads need no place of anybody else's.
  const own = `${beside}.jobs`;
  const here = flags.engine === 'threads' && flags.store === undefined;
  const places = here ? { store: own, models: commonFolder(folder, second?.folder ?? folder) } : {};
  const choice = engineChoice({ ...flags, ...places }, backend);
  const result = await withEngine(choice, async ({ engine, store, place }) => {
    const onProgress = terminal.progress;
    const options = { store, place, onProgress };
    const model = await placeModel(folder, source, options);
    const teacher = second && (await placeModel(second.folder, second.source, options));
    const named = JSON.stringify([fingerprint, model, teacher, choice.runtime]);
    const run = createHash('sha256').update(named).digest('hex');
    return use({ engine, store, run, model, ...(teacher && { teacher }), signal, onProgress });
  });
  if (here) {
    await rmdir(join(own, 'runs'));
    await rmdir(own);
  }
  return result;
}

/** The lowest folder that both lie in. */
function commonFolder(one: string, other: string): string {
  const parent = dirname(resolve(one));
  return relative(parent, dirname(resolve(other))).startsWith('..')
    ? commonFolder(parent, other)
    : parent;
}
