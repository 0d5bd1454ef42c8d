/**
 * Heal a converted model layer by layer, by jobs that an engine does. The pieces that layers leave are
 * the same bytes as those of `healLayerwise`, whoever does the jobs.
 */
import { gatherLayers, type HealedLayers } from '../heal/gather-layers';
import { assertLayerwise, type LayerwiseRun, layerNames } from '../heal/heal-layerwise';
import { placesOf, streamBatches } from '../heal/stream-batches';
import { copyBytes } from '../output/copy-files';
import type { Job, ModelRef } from './job';
import type { ContentRef, JobStore } from './job-store';
import { type KeptContents, keptContents } from './kept-contents';
import {
  countHealJobs,
  type HealBatch,
  type HealGraph,
  healPriority,
  spreadHealLayers,
} from './spread-heal-layers';
import { abortion, type SpreadRun } from './spread-run';
import { putValue } from './stored-value';

export interface SpreadHealing extends SpreadRun {
  /** The original as workers find it. */
  teacher: ModelRef;
}

/** What is healed, by what, on what. */
export type SpreadHealed = Omit<LayerwiseRun, 'keepHidden' | 'signal' | 'onProgress'>;

/**
 * @returns what `healLayerwise` does.
 * @throws RangeError as `healLayerwise`; JobError of the first job that failed; the signal's reason.
 */
export async function spreadHealing(
  healing: SpreadHealed,
  { engine, store: shared, run, model, teacher, signal, onProgress }: SpreadHealing,
): Promise<HealedLayers> {
  assertLayerwise(healing);
  const { source, plan, output } = healing;
  const names = layerNames(source);
  const store = shared.ofRun(run);
  const ends = new AbortController();
  const ended = signal ? AbortSignal.any([signal, ends.signal]) : ends.signal;
  const copies = new Set<Promise<void>>();

  async function healLayers(): Promise<void> {
    const kept = keptContents(store);
    const batches = await putBatches(store, kept, healing, ended);
    const stored = await putValue(store, plan);
    const layers = names.length;
    const total = countHealJobs({ layers, plan, batches });
    let loaded = 0;
    const runJob: HealGraph['run'] = async (own, of) => {
      ended.throwIfAborted();
      const side = of === 'teacher' ? teacher : model;
      const job = { ...own, run, model: side, plan: stored } as Job;
      const outputs = await engine.run(job, { priority: healPriority(job), total });
      onProgress?.({ phase: 'jobs', loaded: ++loaded, total });
      return outputs;
    };
    await spreadHealLayers({ layers, plan, batches, teacher, kept, run: runJob }, takeLayer);
  }

  /** What a layer was healed to stays in the store, too, for a run that begins anew. */
  async function takeLayer(layer: number, healed: ContentRef): Promise<void> {
    if (await output.has(names[layer]!)) return;
    const file = await store.open(healed, ended);
    ended.throwIfAborted();
    const copy = output.write(names[layer]!, (sink) => copyBytes(file, sink));
    copies.add(copy);
    await copy;
    copies.delete(copy);
  }

  const done = await Promise.all(names.map((name) => output.has(name)));
  if (done.includes(false)) {
    await Promise.race([healLayers(), abortion(signal)]).catch(async (error: unknown) => {
      // Jobs are others' to end; what is written here ends before the output is closed.
      ends.abort(error);
      await Promise.allSettled(copies);
      throw error;
    });
  }
  await shared.removeRun(run);
  return gatherLayers(output, names.length, plan.steps);
}

async function putBatches(
  store: JobStore,
  kept: KeptContents,
  healing: SpreadHealed,
  signal: AbortSignal,
): Promise<HealBatch[]> {
  const batches: HealBatch[] = [];
  for await (const packed of streamBatches(healing)) {
    signal.throwIfAborted();
    const samples = await putValue(store, packed.inputs);
    kept.keep(samples);
    batches.push({ samples, places: await putValue(store, placesOf(packed)) });
  }
  return batches;
}
