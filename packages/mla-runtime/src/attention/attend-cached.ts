/**
 * Attention of new tokens to what is cached: one softmax over all segments, and of each segment the
 * weighted sum of its values.
 */
import * as tf from '@tensorflow/tfjs-core';
import { ArenaVectors } from '../cache/arena-vectors';
import type { CachedVectors } from '../cache/layer-cache';
import { type AttendedSegment, attendOnWasm, type SegmentSums } from '../kernels/attend-on-wasm';
import { attendInArena } from './attend-in-arena';
import { blockScores } from './block-scores';
import { blockSums } from './block-sums';
import { cachedBlocks } from './cached-blocks';
import { addOffset, softmaxOverBlocks } from './softmax-over-blocks';
import { reshaped } from './views';

/** Most heads of a pass, those of several queries among them: it holds 64 scores of each, and sums. */
export const MOST_PASS_HEADS = 16384;

/**
 * @param segments one or more, none of them empty.
 * @param heads N, and L times as many for L queries a row.
 * @returns per segment; the caller disposes them.
 */
export function attendCached(
  segments: readonly AttendedSegment<CachedVectors>[],
  heads: number,
): SegmentSums[] {
  if (heads <= MOST_PASS_HEADS && segments.every(isInArena)) return attendInArena(segments, heads);
  const inBlocks = segments.map(({ values, keys, ...queries }) => ({
    ...queries,
    values: cachedBlocks(values),
    keys: cachedBlocks(keys),
  }));
  return attendBlocks(inBlocks, heads);
}

/** The same over blocks of tensors. */
export function attendBlocks(inBlocks: readonly AttendedSegment[], heads: number): SegmentSums[] {
  // Keys of all heads side by side are one part for all groups.
  const byGroup = inBlocks.every(({ keys, values }) => keys[0]!.shape[1] >= values[0]!.shape[1]);
  const passes = heads <= MOST_PASS_HEADS && byGroup;
  return (passes && attendOnWasm(inBlocks, heads)) || attendByOps(inBlocks, heads);
}

function isInArena(
  segment: AttendedSegment<CachedVectors>,
): segment is AttendedSegment<ArenaVectors> {
  return segment.values instanceof ArenaVectors && segment.keys instanceof ArenaVectors;
}

function attendByOps(segments: readonly AttendedSegment[], heads: number): SegmentSums[] {
  const weights = softmaxOverBlocks(
    segments.map((segment) => segmentScores(segment, heads)),
    segments.map(({ values }) => values.map(({ shape }) => shape[2])),
  );
  return segments.map(({ values }, m) => ({
    sums: blockSums(weights[m]!, values),
    masses: () =>
      tf.tidy(() => tf.addN(weights[m]!.map((own) => tf.sum(own, 3, true)))) as tf.Tensor4D,
  }));
}

/** Scores of a segment, [B, groups, N / groups, T]. */
function segmentScores(
  { values, query, keys, turned, bias, offset }: AttendedSegment,
  heads: number,
): tf.Tensor4D {
  const [batch, groups] = values[0]!.shape;
  const tokens = values.reduce((sum, { shape }) => sum + shape[2], 0);
  const shape: [number, number, number, number] = [batch, groups, heads / groups, tokens];
  const terms: tf.Tensor[] = [];
  if (query) terms.push(blockScores(query, values));
  if (turned) terms.push(reshaped(blockScores(turned, keys), shape));
  if (terms.length === 0) terms.push(tf.zeros(shape));
  if (bias) terms.push(tf.reshape(bias, [batch, groups, -1, 1]));
  const scores = terms.reduce((sum, term) => tf.add(sum, term)) as tf.Tensor4D;
  return offset ? addOffset(scores, offset) : scores;
}
