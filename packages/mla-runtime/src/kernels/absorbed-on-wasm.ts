/**
 * Absorbed decode on the wasm backend in one kernel: queries are absorbed, attend in one pass and their
 * sums are expanded. As ops these are up to twenty a layer, which over a short context take longer than their work.
 */
import * as tf from '@tensorflow/tfjs-core';
import { VALUE } from '../host/attend-placed';
import { type WasmBackend, wasmModule } from '../host/host-module';
import { addValueBias } from './add-value-bias';
import { type AttendedSegment, attend, planOf, type SegmentPlan } from './attend-on-wasm';
import { isOnTape } from './on-tape';

const KERNEL = 'AbsorbedOnWasm';
/** Most queries of a KV head: a matrix is gone over for each. */
const MOST_ROWS = 8;

/** Projections of a segment's latents. */
export interface AbsorbedMatrices {
  /** [K, P, C / groups]; absent when there are no nope dims or no latent. */
  key?: tf.Tensor3D | undefined;
  /** What is not common to all segments, [K, P, 1]; absent when it would be zero. */
  keyBias?: tf.Tensor3D | undefined;
  /** [K, C / groups, V]; absent when there is no latent. */
  value?: tf.Tensor3D | undefined;
  /** [N, 1, V]. */
  valueBias?: tf.Tensor3D | undefined;
}

export interface AbsorbedSegment extends Omit<AttendedSegment, 'query' | 'bias'> {
  weights: AbsorbedMatrices;
}

/** Whether the kernel serves for queries [B, K, G * L, P] on the backend in use. */
export function isAbsorbedOnWasm({ shape, size }: tf.Tensor4D): boolean {
  return size > 0 && shape[2] <= MOST_ROWS && !isOnTape() && wasmModule() !== undefined;
}

/**
 * @param queryNope [B, K, G * L, P], scaled.
 * @param valueDim V.
 * @returns [B, N * L, V]; the caller disposes it.
 */
export function absorbedOnWasm(
  queryNope: tf.Tensor4D,
  segments: readonly AbsorbedSegment[],
  valueDim: number,
): tf.Tensor3D {
  register();
  const inputs: tf.Tensor[] = [queryNope];
  const place = (x: tf.Tensor | undefined) => (x ? inputs.push(x) - 1 : undefined);
  const plans = segments.map(
    ({ weights: { key, keyBias, value, valueBias }, ...segment }): AbsorbedPlan => ({
      segment: planOf(segment, inputs),
      ...{ key: place(key), keyBias: place(keyBias) },
      ...{ value: place(value), valueBias: place(valueBias) },
    }),
  );
  const attributes = { plans, valueDim } as unknown as tf.NamedAttrMap;
  const named = { ...inputs } as unknown as tf.NamedTensorMap;
  return tf.engine().runKernel(KERNEL, named, attributes) as tf.Tensor3D;
}

/** By the numbers of inputs. */
interface AbsorbedPlan {
  segment: SegmentPlan;
  key: number | undefined;
  keyBias: number | undefined;
  value: number | undefined;
  valueBias: number | undefined;
}

/** On the first call: importing the package has no effect. */
function register(): void {
  if (tf.getKernel(KERNEL, 'wasm')) return;
  tf.registerKernel({
    kernelName: KERNEL,
    backendName: 'wasm',
    kernelFunc: ({ inputs, attrs, backend }) => {
      const { plans, valueDim } = attrs as unknown as { plans: AbsorbedPlan[]; valueDim: number };
      const given = Object.values(inputs) as tf.TensorInfo[];
      return run(given, plans, valueDim, backend as WasmBackend);
    },
  });
}

function run(
  given: readonly tf.TensorInfo[],
  plans: readonly AbsorbedPlan[],
  valueDim: number,
  backend: WasmBackend,
): tf.TensorInfo {
  const module = wasmModule()!;
  const at = ({ dataId }: tf.TensorInfo) => backend.getMemoryOffset(dataId);
  const floats = (x: tf.TensorInfo) =>
    new Float32Array(module.memory.buffer, at(x), tf.util.sizeFromShape(x.shape));
  const nope = given[0]!;
  const [batch, keyHeads, rows] = nope.shape as [number, number, number, number];
  const heads = keyHeads * rows;
  const spare: tf.TensorInfo[] = [];
  const make = (width: number) => {
    const made = backend.makeOutput([batch, heads, width], 'float32');
    spare.push(made);
    return made;
  };
  /** Rows [B, K, rows, inner] with matrices [K, inner, outer]. */
  const multiply = (x: tf.TensorInfo, matrices: tf.TensorInfo, out: tf.TensorInfo) => {
    const [, inner, outer] = matrices.shape as [number, number, number];
    for (let row = 0; row < batch; row++) {
      const [from, to] = [inner, outer].map((width) => VALUE * row * heads * width);
      module.sums(keyHeads, rows, inner, outer, at(x) + from!, at(matrices), at(out) + to!);
    }
  };
  const absorbed = [...given];
  const absorb = (matrices: number | undefined) => {
    if (matrices === undefined) return undefined;
    const product = make(given[matrices]!.shape[2]!);
    multiply(nope, given[matrices]!, product);
    return absorbed.push(product) - 1;
  };
  const attending = plans.map(({ segment, key, keyBias }) => ({
    ...segment,
    ...{ query: absorb(key), bias: absorb(keyBias) },
  }));
  const results = attend(absorbed, attending, heads, backend);
  spare.push(...results);
  const output = backend.makeOutput([batch, heads, valueDim], 'float32');
  const part = make(valueDim);
  floats(output).fill(0);
  for (const [m, { value, valueBias }] of plans.entries()) {
    const [sums, masses] = [results[2 * m]!, results[2 * m + 1]!];
    if (value !== undefined) {
      multiply(sums, given[value]!, part);
      const [all, own] = [floats(output), floats(part)];
      for (let i = 0; i < all.length; i++) all[i]! += own[i]!;
    }
    if (valueBias !== undefined) {
      addValueBias(floats(output), floats(masses), floats(given[valueBias]!), batch);
    }
  }
  for (const { dataId } of spare) backend.disposeData(dataId);
  return output;
}
