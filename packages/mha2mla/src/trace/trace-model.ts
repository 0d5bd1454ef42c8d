/**
 * Run a prepared input and keep every intermediate, under the names and shapes that
 * `fixtures/hf/README.md` lists, for comparing with another implementation.
 */
import { decodeStep, prefillStep } from '@mha2mla/mla-runtime';
import { type ModelInputs, prepareInputs, type VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';

/** An intermediate, copied from the device. */
export interface TraceTensor {
  shape: readonly number[];
  values: Float32Array | Int32Array;
}

/** Options of `traceModel`. */
export interface TraceOptions {
  /**
   * `naive` (default) runs the prompt at once; `absorbed` prefills each row's first real token and
   * decodes the rest one by one over the cache. Both must agree.
   */
  attention?: 'naive' | 'absorbed';
  /** Greedy tokens to add, never stopped by an end token. Default 0. */
  generate?: number;
  signal?: AbortSignal;
}

/** Intermediates by name. */
export type Trace = Map<string, TraceTensor>;

/** The model that a trace needs: no processor. */
export type TraceModel = Pick<
  VisionLanguageModel,
  'family' | 'config' | 'decoder' | 'embed' | 'generate'
>;

/** @throws the signal's reason when aborted. */
export async function traceModel(
  model: TraceModel,
  inputs: ModelInputs,
  { attention = 'naive', generate = 0, signal }: TraceOptions = {},
): Promise<Trace> {
  const trace: Trace = new Map();
  const { family, config } = model;
  const { batch, length } = inputs;
  const prepared = prepareInputs(family, config, inputs);
  const axes = prepared.positionIds.length / (batch * length);
  trace.set('position_ids', {
    shape: axes === 3 ? [3, batch, length] : [batch, length],
    values: prepared.positionIds,
  });
  if (prepared.ropeDeltas) {
    trace.set('rope_deltas', { shape: [batch, 1], values: prepared.ropeDeltas });
  }
  const kept = new Map<string, tf.Tensor>();
  const observe = (name: string, tensor: tf.Tensor) => {
    kept.set(name, tf.keep(tf.clone(tensor)));
  };
  let embedded: tf.Tensor3D | undefined;
  try {
    embedded = model.embed(inputs, { observe });
    if (attention === 'naive') await traceNaive(model, embedded, prepared, observe, signal);
    else await traceAbsorbed(model, embedded, prepared, observe, signal);
    for (const [name, tensor] of kept) {
      trace.set(name, { shape: tensor.shape, values: (await tensor.data()) as Float32Array });
    }
  } finally {
    tf.dispose([embedded, ...kept.values()]);
  }
  if (generate > 0) trace.set('generated_ids', await greedyIds(model, inputs, generate, signal));
  return trace;
}

type Prepared = ReturnType<typeof prepareInputs>;
type Observe = (name: string, tensor: tf.Tensor) => void;

async function traceNaive(
  { config, decoder }: TraceModel,
  embedded: tf.Tensor3D,
  { layout, positionIds }: Prepared,
  observe: Observe,
  signal: AbortSignal | undefined,
): Promise<void> {
  const step = prefillStep(layout, positionIds, config.decoder);
  try {
    const hidden = await decoder.prefill(embedded, step, {
      signal,
      onHidden: (index, state) => observe(`hidden.${index}`, state),
    });
    observeHead(decoder, hidden, observe);
    hidden.dispose();
  } finally {
    step.dispose();
  }
}

function observeHead(decoder: TraceModel['decoder'], hidden: tf.Tensor3D, observe: Observe): void {
  tf.tidy(() => {
    observe('hidden.final_norm', decoder.finalNorm(hidden));
    observe('logits', decoder.logits(hidden));
  });
}

/** Rows are run apart, since each starts at its own first real token; padding is left zero. */
async function traceAbsorbed(
  { decoder }: TraceModel,
  embedded: tf.Tensor3D,
  prepared: Prepared,
  observe: Observe,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { layout } = prepared;
  const rows: tf.Tensor3D[][] = [];
  for (let row = 0; row < layout.batch; row++) {
    rows.push(await decodeRow(decoder, embedded, prepared, row, signal));
  }
  for (let index = 0; index <= decoder.layers.length; index++) {
    const hidden = tf.concat(
      rows.map((states) => states[index]!),
      0,
    );
    observe(`hidden.${index}`, hidden);
    if (index === decoder.layers.length) observeHead(decoder, hidden, observe);
    hidden.dispose();
  }
  tf.dispose(rows.flat());
}

/** Inputs of the first layer and outputs of every layer, each [1, L, D]. */
async function decodeRow(
  decoder: TraceModel['decoder'],
  embedded: tf.Tensor3D,
  { layout, positionIds }: Prepared,
  row: number,
  signal: AbortSignal | undefined,
): Promise<tf.Tensor3D[]> {
  const { batch, length } = layout;
  const kinds = layout.kinds.subarray(row * length, (row + 1) * length);
  const first = kinds.findIndex((kind) => kind !== 0);
  const axes = positionIds.length / (batch * length);
  const cache = decoder.createCache(1);
  const columns: tf.Tensor3D[][] = [];
  for (let t = first; t < length; t++) {
    signal?.throwIfAborted();
    const positions = Int32Array.from(
      { length: axes },
      (_, axis) => positionIds[(axis * batch + row) * length + t]!,
    );
    const x = tf.slice(embedded, [row, t, 0], [1, 1, embedded.shape[2]]);
    const one = { batch: 1, length: 1, kinds: kinds.slice(t, t + 1) };
    columns.push(
      t === first
        ? await prefillOne(decoder, x, one, positions, cache)
        : decodeOne(decoder, x, one.kinds[0] === 2 ? 'vision' : 'text', positions, cache),
    );
  }
  cache.dispose();
  return Array.from({ length: decoder.layers.length + 1 }, (_, index) => {
    const states = columns.map((column) => column[index]!);
    const joined = tf.concat(states, 1);
    const padded = tf.pad(joined, [
      [0, 0],
      [first, 0],
      [0, 0],
    ]) as tf.Tensor3D;
    tf.dispose([joined, ...states]);
    return padded;
  });
}

async function prefillOne(
  decoder: TraceModel['decoder'],
  x: tf.Tensor3D,
  layout: Prepared['layout'],
  positions: Int32Array,
  cache: ReturnType<TraceModel['decoder']['createCache']>,
): Promise<tf.Tensor3D[]> {
  const states: tf.Tensor3D[] = [];
  const step = prefillStep(layout, positions, decoder.config);
  const hidden = await decoder.prefill(x, step, {
    cache,
    onHidden: (_, state) => states.push(tf.clone(state)),
  });
  tf.dispose([hidden, x]);
  step.dispose();
  return states;
}

function decodeOne(
  decoder: TraceModel['decoder'],
  x: tf.Tensor3D,
  modality: 'vision' | 'text',
  positions: Int32Array,
  cache: ReturnType<TraceModel['decoder']['createCache']>,
): tf.Tensor3D[] {
  const step = decodeStep(cache, positions, decoder.config, modality);
  const states = [x];
  for (const [index, layer] of decoder.layers.entries()) {
    states.push(layer.decode(states[index]!, step, cache.layers[index]!));
  }
  step.dispose();
  return states;
}

async function greedyIds(
  model: TraceModel,
  inputs: ModelInputs,
  count: number,
  signal: AbortSignal | undefined,
): Promise<TraceTensor> {
  const values = new Int32Array(inputs.batch * count);
  let column = 0;
  const steps = model.generate(inputs, { maxTokens: count, eosTokenIds: [], signal });
  for await (const { tokens } of steps) {
    for (const [row, token] of tokens.entries()) values[row * count + column] = token;
    column++;
  }
  return { shape: [inputs.batch, count], values };
}
