/** What each kind of job does. */
import type { Segment, WeightFormat } from '@mha2mla/mla-runtime';
import type { Processor, VisionLanguageModel, VlmSource } from '@mha2mla/vlm-adapters';
import { type LayerCalibration, mergeCalibration } from '../convert/calibrate-layer';
import { type LayerRecord, makeLayer, readConverted, storedSpecs } from '../convert/convert-layer';
import { attentionSamplesLeft, calibrate } from '../convert/factor-layer';
import type { LatentRows } from '../convert/fit-latents';
import { measureFactors } from '../convert/measure-layers';
import { advanceSamples, fitLayerLatents } from '../convert/propagate-layer';
import { meanResidual, type ResidualSum, residualSum } from '../convert/residual-scale';
import type { FactorRunner } from '../convert/run-factor-job';
import { askBatch } from '../evaluate/ask-batch';
import { contentOutput } from './content-output';
import { forward, heal } from './heal-handlers';
import type {
  AdvanceJob,
  CalibrateJob,
  EmbedJob,
  EvaluateJob,
  FactorsJob,
  FitJob,
  Job,
  JobOutputs,
  MeasureJob,
  ModelRef,
} from './job';
import type { ContentRef, JobStore } from './job-store';
import { type PlanSpec, planOf } from './plan-spec';
import { embedShard, storeShard, withShard } from './shard-batch';
import { restoreStatistics, type StoredStatistics, storeStatistics } from './statistics';
import { type AskSpec, restoreQuestion, type StoredQuestion } from './stored-question';
import { putValue, readValue } from './stored-value';

export interface JobContext {
  store: JobStore;
  /** The job's model, open. */
  original: VlmSource;
  /** Open another. */
  open(model: ModelRef): Promise<VlmSource>;
  /** Load it whole, once for the jobs that follow one another. */
  load(weights?: WeightFormat): Promise<LoadedModel>;
  factorize: FactorRunner;
  signal?: AbortSignal;
}

/** A model that answers; whoever loaded it disposes it. */
export interface LoadedModel {
  model: VisionLanguageModel;
  processor: Processor;
}

type Handler<Kind extends Job> = (context: JobContext, job: Kind) => Promise<JobOutputs>;

const HANDLERS: { [Kind in Job['kind']]: Handler<Extract<Job, { kind: Kind }>> } = {
  embed,
  calibrate: calibrateShard,
  factor,
  measure,
  advance,
  fit,
  forward,
  heal,
  evaluate,
};

/** Do a job's work. */
export function handleJob(context: JobContext, job: Job): Promise<JobOutputs> {
  return (HANDLERS[job.kind] as Handler<Job>)(context, job);
}

/** No plan changes what is embedded. */
async function embed({ store, original }: JobContext, { samples }: EmbedJob): Promise<JobOutputs> {
  return { hidden: await embedShard(store, original, samples) };
}

async function calibrateShard(context: JobContext, job: CalibrateJob): Promise<JobOutputs> {
  const { store, signal } = context;
  const { source, plan, spec } = await planned(context, job.plan);
  return withShard(store, source, job, async (batch) => {
    // Before the layer's output takes the place of its input.
    const residual = spec.highest === undefined ? undefined : await residualSum(batch);
    const seen = await calibrate(
      { source, plan, index: job.layer, batches: [batch], factorize: context.factorize, signal },
      { attentionSamples: attentionSamplesLeft(plan, job.before) },
    );
    const stored = await putValue(store, storeStatistics(seen, residual));
    const outputs: Record<string, ContentRef> = { seen: stored };
    if (plan.propagate === 'original') outputs.hidden = await storeShard(store, batch);
    return outputs;
  });
}

async function factor(context: JobContext, job: FactorsJob): Promise<JobOutputs> {
  const { layer } = await gather(context, job);
  const output = contentOutput(context.store);
  const { record } = await makeLayer({ ...layer, output });
  return { shard: output.ref(), record: await putValue(context.store, record) };
}

async function measure(context: JobContext, job: MeasureJob): Promise<JobOutputs> {
  const { layer, residuals } = await gather(context, job);
  const measured = await measureFactors(layer, meanResidual(residuals));
  return { measured: await putValue(context.store, measured) };
}

async function advance(context: JobContext, job: AdvanceJob): Promise<JobOutputs> {
  const { store, signal } = context;
  const { source, plan } = await planned(context, job.plan);
  const converted = await openLayer(context, source, job);
  return withShard(store, source, job, async (batch) => {
    const at = { source, plan, index: job.layer, batches: [batch], signal };
    const rows = await advanceSamples(at, converted, job.shards);
    const outputs: Record<string, ContentRef> = { hidden: await storeShard(store, batch) };
    if (rows) outputs.latents = await putValue(store, [...rows]);
    return outputs;
  });
}

async function fit(context: JobContext, job: FitJob): Promise<JobOutputs> {
  const { source, plan } = await planned(context, job.plan);
  const converted = await openLayer(context, source, job);
  const rows: LatentRows = new Map();
  for (const ref of job.latents) {
    const part = (await readValue(context.store, ref)) as [Segment, Float32Array[]][];
    for (const [segment, own] of part) rows.set(segment, [...(rows.get(segment) ?? []), ...own]);
  }
  const specs = fitLayerLatents({ plan, index: job.layer }, converted, rows);
  return { specs: await putValue(context.store, storedSpecs(specs)) };
}

async function evaluate(context: JobContext, job: EvaluateJob): Promise<JobOutputs> {
  const { store, signal } = context;
  const { weights, ...options } = (await readValue(store, job.plan)) as AskSpec;
  const questions = (await readValue(store, job.questions)) as StoredQuestion[];
  const { model, processor } = await context.load(weights);
  const asked = questions.map(restoreQuestion);
  const result = await askBatch(model, processor, asked, { ...options, signal });
  return { result: await putValue(store, result) };
}

async function planned({ store, original }: JobContext, ref: ContentRef) {
  const spec = (await readValue(store, ref)) as PlanSpec;
  return { spec, ...planOf(original, spec) };
}

/** A layer, with what all shards showed of it, added up in their order. */
async function gather(
  context: JobContext,
  { plan: ref, layer: index, seen }: FactorsJob | MeasureJob,
) {
  const { store, factorize, signal } = context;
  const { source, plan } = await planned(context, ref);
  let calibrated: LayerCalibration | undefined;
  const residuals: ResidualSum[] = [];
  for (const shard of seen) {
    signal?.throwIfAborted();
    const stored = (await readValue(store, shard, signal)) as StoredStatistics;
    const part = restoreStatistics(source.config.decoder, stored);
    calibrated = calibrated ? mergeCalibration(calibrated, part) : part;
    if (stored.residual) residuals.push(stored.residual);
  }
  return { layer: { source, plan, index, batches: [], calibrated, factorize, signal }, residuals };
}

/** The layer that a factor job wrote. */
async function openLayer(
  { store }: JobContext,
  source: VlmSource,
  { layer, shard, record }: Pick<AdvanceJob, 'layer' | 'shard' | 'record'>,
) {
  const output = { read: () => store.open(shard) };
  const own = (await readValue(store, record)) as LayerRecord;
  return readConverted({ source, index: layer, output }, own);
}
