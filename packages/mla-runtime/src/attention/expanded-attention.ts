/**
 * Attention of many new tokens to cached latents: keys and values are made of these once, as prefill
 * does. An absorbed query multiplies with its whole latent, twice, which many do not pay back.
 */
import * as tf from '@tensorflow/tfjs-core';
import { ArenaVectors } from '../cache/arena-vectors';
import type { CachedVectors } from '../cache/layer-cache';
import { HostArena } from '../host/host-arena';
import type { AttendedSegment, SegmentSums } from '../kernels/attend-on-wasm';
import { isTensorFlowOnProcessor } from '../kernels/host-backends';
import { isOnTape } from '../kernels/on-tape';
import type { Projection } from '../projection';
import type { CachedLatents } from './absorbed-attention';
import { attendBlocks, attendCached } from './attend-cached';
import { cachedBlocks } from './cached-blocks';
import { concatWidths } from './concat-widths';
import { groupedApply } from './grouped-apply';

/** Most values of the keys and values that are made: 256 MiB. */
const MOST_EXPANDED = 2 ** 26;

/** Latents of a segment, and what makes keys and values of them. */
export interface ExpandableLatents extends Omit<CachedLatents, 'weights'> {
  upKey: Projection;
  upValue: Projection;
}

/**
 * Whether keys and values take fewer products than absorbed queries, and little enough memory.
 * @param queries [B, K, G * L, P].
 * @param tokens of all segments.
 * @param width of a group's latent, C / groups.
 */
export function isWorthExpanding(
  { shape: [batch, keyHeads, perKey, nope] }: tf.Tensor4D,
  tokens: number,
  { width, rope, valueDim }: Record<'width' | 'rope' | 'valueDim', number>,
): boolean {
  const made = nope + valueDim;
  const spared = perKey * (2 * width - made);
  return (
    nope > 0 && spared > width * made && batch * tokens * keyHeads * (made + rope) <= MOST_EXPANDED
  );
}

/**
 * @param queryNope [B, K, G * L, P], scaled.
 * @param queryRope [B, K, G * L, R], rotated and scaled.
 * @param segments one or more, none of them empty.
 * @returns [B, N * L, V]; the caller disposes it.
 */
export function expandedAttention(
  queryNope: tf.Tensor4D,
  queryRope: tf.Tensor4D,
  segments: readonly ExpandableLatents[],
  groups: number,
): tf.Tensor3D {
  const [batch, keyHeads, perKey] = queryNope.shape;
  return tf.tidy(() => {
    const turned = concatWidths([queryRope, queryNope]);
    const ofHeads = (x: tf.Tensor) => tf.reshape(x, [batch, x.shape[1]!, keyHeads, -1]);
    const apart = (x: tf.Tensor) => tf.transpose(x, [0, 2, 1, 3]) as tf.Tensor4D;
    const expanded = segments.map(({ latents, keys, offset, upKey, upValue }) => {
      const latent = byToken(latents); // [B, T, C]
      const turnedKeys = queryRope.size > 0 ? [byToken(keys)] : [];
      const nope = groupedApply(upKey, latent, groups);
      return {
        ...{ turned, offset },
        keys: apart(concatWidths([...turnedKeys, nope].map(ofHeads))), // [B, K, T, R + P]
        values: apart(ofHeads(groupedApply(upValue, latent, groups))), // [B, K, T, V]
      };
    });
    const sums = attend(expanded, keyHeads * perKey).map((own) => own.sums);
    const output = sums.length === 1 ? sums[0]! : tf.addN(sums);
    return tf.reshape(output, [batch, keyHeads * perKey, -1]) as tf.Tensor3D;
  });
}

/** All that is cached, [B, T, C]. */
function byToken(vectors: CachedVectors): tf.Tensor3D {
  return tf.tidy(() => {
    const blocks = cachedBlocks(vectors).map((block) => {
      const [batch, , tokens] = block.shape;
      return tf.reshape(tf.transpose(block, [0, 2, 1, 3]), [batch, tokens, -1]);
    });
    return (blocks.length === 1 ? blocks[0]! : tf.concat(blocks, 1)) as tf.Tensor3D;
  });
}

/** On TensorFlow's library over copies in memory of ours, where a pass can go. */
function attend(segments: readonly AttendedSegment<tf.Tensor4D>[], heads: number): SegmentSums[] {
  if (!isTensorFlowOnProcessor() || isOnTape()) {
    const inBlocks = segments.map((own) => ({ ...own, keys: [own.keys], values: [own.values] }));
    return attendBlocks(inBlocks, heads);
  }
  const arena = HostArena.take();
  const placed: ArenaVectors[] = [];
  const place = (x: tf.Tensor4D) => {
    const own = new ArenaVectors(() => arena);
    placed.push(own);
    own.append(x);
    return own;
  };
  try {
    const inArena = segments.map((own) => ({
      ...own,
      keys: place(own.keys),
      values: place(own.values),
    }));
    return attendCached(inArena, heads);
  } finally {
    for (const own of placed) own.dispose();
  }
}
