/** What jobs of a layer-wise healing do. */
import { loadDecoderLayer } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { layerReader } from '../convert/layer-weights';
import type { ReferencePlaces } from '../evaluate/reference-step';
import { healLayer } from '../heal/heal-layer';
import { assertHealPlan, type HealPlan } from '../heal/heal-options';
import { layerName, openHealedLayer, writeHealedLayer } from '../heal/healed-layer';
import { withStep } from '../heal/layer-streams';
import { contentOutput } from './content-output';
import type { ForwardJob, HealJob, JobOutputs } from './job';
import type { JobContext } from './job-handlers';
import type { ContentRef, JobStore } from './job-store';
import { putStates, readStates } from './stored-states';
import { readValue } from './stored-value';

export async function forward(
  { store, original: source }: JobContext,
  job: ForwardJob,
): Promise<JobOutputs> {
  const [healed] = job.healed;
  const places = (await readValue(store, job.places)) as ReferencePlaces;
  const reader = healed ? await healedReader(store, source, job.layer, healed) : source.weights;
  const layer = await loadDecoderLayer(source.config.decoder, reader, job.layer);
  try {
    const states = await storedHidden(store, source, places, job.hidden).read();
    try {
      const next = await withStep(source.config, { places }, (step) => layer.prefill(states, step));
      return { hidden: await putStates(store, next) };
    } finally {
      states.dispose();
    }
  } finally {
    layer.dispose();
  }
}

export async function heal(context: JobContext, job: HealJob): Promise<JobOutputs> {
  const { store, original: source, signal } = context;
  const plan = (await readValue(store, job.plan)) as HealPlan;
  assertHealPlan(plan);
  const original = await context.open(job.teacher);
  const { length } = job.places;
  if (job.hidden.length !== length || job.teacherHidden.length !== length) {
    throw new RangeError(
      `heal: places, hidden and teacherHidden must be as many, got ${length}, ${job.hidden.length} and ${job.teacherHidden.length}.`,
    );
  }
  const streams = await Promise.all(
    job.places.map(async (ref, i) => {
      const places = (await readValue(store, ref)) as ReferencePlaces;
      const at = (hidden: ContentRef) => storedHidden(store, source, places, hidden);
      return { places, student: at(job.hidden[i]!), teacher: at(job.teacherHidden[i]!) };
    }),
  );
  const run = { source, original, plan, signal };
  const layer = await healLayer(run, streams, job.layer, () => {});
  const output = contentOutput(store);
  await writeHealedLayer(output, layerName(job.layer), layer);
  return { healed: output.ref() };
}

/** States that are read from the store each time: those of all batches may be more than memory holds. */
function storedHidden(
  store: JobStore,
  { config }: VlmSource,
  { inputs: { batch, length } }: ReferencePlaces,
  ref: ContentRef,
) {
  return { read: () => readStates(store, ref, [batch, length, config.decoder.hiddenSize]) };
}

/** The model's weights, but for those of a layer that was healed. */
async function healedReader(store: JobStore, source: VlmSource, layer: number, ref: ContentRef) {
  const healed = await openHealedLayer({ read: () => store.open(ref) }, layerName(layer));
  return layerReader(await healed.read(`layers.${layer}.`), layer, source.weights);
}
