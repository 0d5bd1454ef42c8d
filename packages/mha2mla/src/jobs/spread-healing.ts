/**
 * Heal a converted model layer by layer, by jobs that an engine does. The pieces that layers leave are
 * the same bytes as those of `healLayerwise`, whoever does the jobs.
 */
import { gatherLayers, type HealedLayers } from '../heal/gather-layers';
import { assertLayerwise, type LayerwiseRun, layerNames } from '../heal/heal-layerwise';
import { placesOf, streamBatches } from '../heal/stream-batches';
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
import { type OpenRun, openRun, type SpreadRun, takeContent } from './spread-run';
import { putValue } from './stored-value';

/** The run of a healing, and the model that it learns from. */
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
  spread: SpreadHealing,
): Promise<HealedLayers> {
  assertLayerwise(healing);
  const { store: shared, run, model, teacher } = spread;
  const { source, plan, output } = healing;
  const names = layerNames(source);
  const layers = names.length;
  const store = shared.ofRun(run);
  const work = openRun(spread);

  async function healLayers(): Promise<void> {
    const kept = keptContents(store);
    const batches = await putBatches(store, kept, healing, work);
    const stored = await work.write(() => putValue(store, plan));
    work.expect(countHealJobs({ layers, plan, batches }));
    const runJob: HealGraph['run'] = (own, of) => {
      const side = of === 'teacher' ? teacher : model;
      const job = { ...own, run, model: side, plan: stored } as Job;
      return work.run(job, healPriority(job));
    };
    await spreadHealLayers({ layers, plan, batches, teacher, kept, run: runJob }, takeLayer);
  }

  /** What a layer was healed to stays in the store, too, for a run that begins anew. */
  const takeLayer = (layer: number, healed: ContentRef) =>
    takeContent(work, store, healed, { output, name: names[layer]! });

  const done = await Promise.all(names.map((name) => output.has(name)));
  if (done.includes(false)) await work.until(healLayers());
  await shared.removeRun(run);
  return gatherLayers(output, layers, plan.steps);
}

async function putBatches(
  store: JobStore,
  kept: KeptContents,
  healing: SpreadHealed,
  work: OpenRun,
): Promise<HealBatch[]> {
  const batches: HealBatch[] = [];
  for await (const packed of streamBatches(healing)) {
    await work.write(async () => {
      const samples = await putValue(store, packed.inputs);
      kept.keep(samples);
      batches.push({ samples, places: await putValue(store, placesOf(packed)) });
    });
  }
  return batches;
}
