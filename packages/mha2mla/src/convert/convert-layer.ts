/**
 * Convert one layer: calibrate on its input, choose pairs, factor, write its shard, and bring the
 * samples to the next layer's input. A layer that an earlier run finished is only propagated.
 */
import { openSafetensors, type TensorEntry } from '@mha2mla/checkpoint';
import type { StaticSpec } from '@mha2mla/kv-quant';
import type { CacheOptions, Segment } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { type ResultOutput, readOwnJson, writeJson } from '../output/result-output';
import type { LayerCalibration } from './calibrate-layer';
import type { CalibrationBatch } from './calibration-batch';
import type { LayerReport } from './conversion-report';
import type { ConversionPlan } from './convert-options';
import { factorLayer } from './factor-layer';
import { isReplaced, storedLayer } from './layer-source';
import type { LayerTensor } from './layer-weights';
import { type ConvertedLayer, propagateLayer } from './propagate-layer';
import { rotateLatents } from './rotate-latents';
import type { FactorRunner } from './run-factor-job';
import { layerDtype, roundLayer, shardName, writeLayer } from './write-layer';

/** What is kept of a finished layer until the run ends. */
export interface LayerRecord extends LayerReport {
  entries: TensorEntry[];
  /** How its latents are cached, where that was fitted; lists, so that it can be written as JSON. */
  latents?: Partial<Record<Segment, StoredSpec>>;
}

/** A `StaticSpec`. */
interface StoredSpec {
  bands: StaticSpec['bands'];
  scales: number[];
  zeros: number[];
}

/** The specs of all layers; `undefined` where none was fitted. */
export function latentSpecsOf(
  records: readonly Pick<LayerRecord, 'latents'>[],
): CacheOptions['latentSpecs'] {
  if (!records.some(({ latents }) => latents)) return undefined;
  const restored = ({ bands, scales, zeros }: StoredSpec): StaticSpec => ({
    ...{ method: 'static', bands },
    ...{ scales: Float32Array.from(scales), zeros: Float32Array.from(zeros) },
  });
  return records.map(({ latents = {} }) =>
    Object.fromEntries(Object.entries(latents).map(([segment, spec]) => [segment, restored(spec)])),
  );
}

export function recordName(layer: number): string {
  return `layer-${String(layer).padStart(5, '0')}.json`;
}

export interface LayerJob {
  source: VlmSource;
  output: ResultOutput;
  plan: ConversionPlan;
  /** Where factorisations are done. */
  factorize: FactorRunner;
  batches: readonly CalibrationBatch[];
  index: number;
  /** What the layer does to the samples, where that was seen before. */
  calibrated?: LayerCalibration;
  /** Looks at a layer's statistics, once they are there. */
  onCalibrated?: (calibration: LayerCalibration) => Promise<void>;
  /** Called when the layer is written, before samples go on to the next. */
  onWritten?: () => void;
  signal?: AbortSignal;
}

/** Convert one layer, or take it from an earlier run, and bring the samples to the next. */
export async function convertLayer(job: LayerJob): Promise<LayerRecord> {
  const { output, index } = job;
  const name = recordName(index);
  if ((await output.has(name)) && (await output.has(shardOf(job)))) return resumeLayer(job, name);
  const { record, pairs, fresh } = await makeLayer(job);
  // With `original`, the calibrating pass has run the layer already.
  job.onWritten?.();
  if (job.plan.propagate !== 'original') {
    const specs = await propagateLayer(job, { pairs, fresh });
    if (specs) record.latents = storedSpecs(specs);
  }
  await writeJson(output, name, record);
  return record;
}

/** Specs as JSON has them. */
export function storedSpecs(specs: Partial<Record<Segment, StaticSpec>>): LayerRecord['latents'] {
  return Object.fromEntries(
    Object.entries(specs).map(([segment, { bands, scales, zeros }]) => [
      segment,
      { bands, scales: [...scales], zeros: [...zeros] },
    ]),
  );
}

/** Take a layer from an earlier run. */
async function resumeLayer(job: LayerJob, name: string): Promise<LayerRecord> {
  const record = await readOwnJson<LayerRecord>(job.output, name);
  if (job.batches.length > 0) await propagateLayer(job, await readConverted(job, record));
  return record;
}

/** Convert one layer: its shard is written, its samples stay at the layer's input. */
export async function makeLayer(job: LayerJob) {
  const { source, output, plan, index } = job;
  const stored = storedLayer(source, index);
  const { pairs, scores, split, factored } = await factorLayer(job);
  const dtype = plan.dtype ?? layerDtype(stored);
  const tensors = new Map([...split.rotary, ...factored.tensors]);
  const { hadamard: largest, groups } = plan;
  const turned = largest === undefined ? tensors : rotateLatents(tensors, { largest, groups });
  const fresh = roundLayer(turned, dtype, stored.prefix);
  const entries = await writeLayer(source, output, shardOf(job), stored, fresh, {
    dtype,
    plan,
  });
  const ropePairs = pairs.map((head) => [...head]);
  const record: LayerRecord = {
    layer: index,
    ...factored.reports,
    ropePairs,
    pairScores: scores && byHead(scores, source.config.decoder.numKeyValueHeads),
    entries,
  };
  return { record, pairs, fresh };
}

function byHead(scores: Float64Array, heads: number): number[][] {
  const half = scores.length / heads;
  return Array.from({ length: heads }, (_, head) => [
    ...scores.subarray(head * half, (head + 1) * half),
  ]);
}

/** The file of a layer. */
export function shardOf({ source, index }: Pick<LayerJob, 'source' | 'index'>): string {
  return shardName(index + 1, source.config.decoder.numHiddenLayers + 1);
}

/** Read a layer that was written: its pairs, and what takes the place of its q, k and v. */
export async function readConverted(
  job: Pick<LayerJob, 'source' | 'index'> & { output: Pick<ResultOutput, 'read'> },
  { ropePairs, entries }: Pick<LayerRecord, 'ropePairs' | 'entries'>,
): Promise<ConvertedLayer> {
  const stored = storedLayer(job.source, job.index);
  const kept = new Set(
    stored.tensors
      .filter((tensor) => !isReplaced(stored, tensor))
      .flatMap((tensor) => [tensor, ...(job.source.checkpoint.packed?.parts(tensor.name) ?? [])])
      .map(({ name }) => name),
  );
  const file = await openSafetensors(await job.output.read(shardOf(job)));
  const fresh = new Map<string, LayerTensor>();
  for (const { name, shape } of entries) {
    if (kept.has(name)) continue;
    fresh.set(name.slice(stored.prefix.length), { shape, values: await file.readFloat32(name) });
  }
  return { pairs: ropePairs.map((head) => Int32Array.from(head)), fresh };
}
