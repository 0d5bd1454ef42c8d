/**
 * Decode attention in one pass on the wasm backend, in its own memory. As ops it is a product of every
 * block of the cache, twice, of few rows at that; a pass over tiles of tokens reads each vector once.
 */
import * as tf from '@tensorflow/tfjs-core';
import { attendPlaced, type PlacedVectors, scratchSize, VALUE } from '../host/attend-placed';
import { type WasmBackend, wasmModule } from '../host/host-module';
import { isOnTape } from './on-tape';

const KERNEL = 'AttendOnWasm';

/** One segment of what is cached and what attends to it. */
export interface AttendedSegment<Vectors = readonly tf.Tensor4D[]> {
  /** Vectors that are summed, [B, groups, T of the block, W]. */
  values: Vectors;
  /** Scored with the values, [B, groups, N / groups, W]. */
  query?: tf.Tensor4D;
  /** Keys apart from the values, [B, K, T of the block, R]; K is a multiple of groups. */
  keys: Vectors;
  /** Scored with them, [B, K, N / K, R]. */
  turned?: tf.Tensor4D;
  /** Added to the scores of each head, of N values a row. */
  bias?: tf.Tensor;
  /** Added to scores, [B, 1 or N, T], or [B, 1 or N, L, T] where the heads of L queries lie side by side. */
  offset?: tf.Tensor3D | tf.Tensor4D;
}

/** What a segment's tokens give to the result. */
export interface SegmentSums {
  /** [B, groups, N / groups, W]. */
  sums: tf.Tensor4D;
  /** Weights of the segment's tokens, [B, groups, N / groups, 1]; those of all segments add up to 1. */
  masses: () => tf.Tensor4D;
}

/**
 * @param heads N.
 * @returns per segment; the caller disposes them. `undefined` where another way serves.
 */
export function attendOnWasm(
  segments: readonly AttendedSegment[],
  heads: number,
): SegmentSums[] | undefined {
  if (isOnTape() || !wasmModule()) return undefined;
  register();
  const inputs: tf.Tensor[] = [];
  const plans = segments.map((segment) => planOf(segment, inputs));
  const outputs = tf
    .engine()
    .runKernel(
      KERNEL,
      { ...inputs } as unknown as tf.NamedTensorMap,
      { heads, plans } as unknown as tf.NamedAttrMap,
    ) as tf.Tensor4D[];
  return segments.map((_, m) => ({ sums: outputs[2 * m]!, masses: () => outputs[2 * m + 1]! }));
}

/** A segment by the numbers of its inputs, which are added to a list. */
export function planOf(
  { values, keys, query, turned, bias, offset }: AttendedSegment,
  inputs: tf.Tensor[],
): SegmentPlan {
  const place = (x: tf.Tensor | undefined) => (x && x.size > 0 ? inputs.push(x) - 1 : undefined);
  const blocksOf = (blocks: readonly tf.Tensor4D[]): BlockPlan[] =>
    blocks.map((block) => ({ shape: block.shape, input: place(block) }));
  return {
    ...{ values: blocksOf(values), keys: blocksOf(keys) },
    ...{ query: place(query), turned: place(turned), bias: place(bias) },
    ...{ offset: place(offset), offsetRows: offset?.shape.slice(1, -1).reduce((a, b) => a * b) },
  };
}

interface BlockPlan {
  shape: readonly number[];
  /** Number of an input; none where it is empty. */
  input: number | undefined;
}

export interface SegmentPlan {
  values: BlockPlan[];
  keys: BlockPlan[];
  query: number | undefined;
  turned: number | undefined;
  bias: number | undefined;
  offset: number | undefined;
  offsetRows: number | undefined;
}

/** On the first call: importing the package has no effect. */
function register(): void {
  if (tf.getKernel(KERNEL, 'wasm')) return;
  tf.registerKernel({
    kernelName: KERNEL,
    backendName: 'wasm',
    kernelFunc: ({ inputs, attrs, backend }) => {
      const { heads, plans } = attrs as unknown as { heads: number; plans: SegmentPlan[] };
      return attend(Object.values(inputs) as tf.TensorInfo[], plans, heads, backend as WasmBackend);
    },
  });
}

/** @returns sums and masses of each segment. */
export function attend(
  inputs: readonly tf.TensorInfo[],
  plans: readonly SegmentPlan[],
  heads: number,
  backend: WasmBackend,
): tf.TensorInfo[] {
  const batch = plans[0]!.values[0]!.shape[0]!;
  const at = (tensor: tf.TensorInfo | undefined) =>
    tensor ? backend.getMemoryOffset(tensor.dataId) : 0;
  const input = (number: number | undefined) => (number === undefined ? 0 : at(inputs[number]));
  const make = (...shape: number[]) => backend.makeOutput(shape, 'float32');
  const outputs = plans.map(({ values }) => {
    const [, groups, , width] = values[0]!.shape as [number, number, number, number];
    return [width, 1].map((own) => make(batch, groups, heads / groups, own));
  });
  const count = batch * heads;
  const spare = [
    make(plans.length * count),
    make(plans.length * count),
    make(scratchSize({ parts: 1, heads })),
  ];
  const [largest, shares, scratch] = spare.map(at) as [number, number, number];
  const vectors = (blocks: readonly BlockPlan[]): PlacedVectors => ({
    parts: blocks[0]!.shape[1]!,
    width: blocks[0]!.shape[3]!,
    blocks: blocks.map(({ shape, input: number }) => ({
      at: input(number),
      tokens: shape[2]!,
      capacity: shape[2]!,
    })),
  });
  const module = wasmModule()!;
  attendPlaced(
    module,
    {
      ...{ batch, heads, parts: 1, largest, masses: shares, scratch },
      segments: plans.map(({ values, keys, query, turned, bias, offset, offsetRows = 1 }) => ({
        ...{ values: vectors(values), keys: vectors(keys) },
        ...{ query: input(query), turned: input(turned), bias: input(bias) },
        offset: { at: input(offset), rows: offsetRows },
      })),
      sums: outputs.map(([sums]) => at(sums)),
    },
    ([calls]) => {
      for (const call of calls!) module.attend(...call);
    },
  );
  for (const [m, [, masses]] of outputs.entries()) {
    const own = new Float32Array(module.memory.buffer, shares + VALUE * m * count, count);
    new Float32Array(module.memory.buffer, at(masses), count).set(own);
  }
  for (const { dataId } of spare) backend.disposeData(dataId);
  return outputs.flat();
}
