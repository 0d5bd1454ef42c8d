/**
 * What a conversation has cached, copied to where a recorded step reads and writes it, and the way
 * back of the tokens that it has decoded.
 */
import { type CachePart, PackedTensor } from '@mha2mla/kv-quant';
import * as tf from '@tensorflow/tfjs-core';
import type { Segment } from '../attention/attention';
import type { DecoderCache } from '../cache/decoder-cache';
import type { Decoder } from '../decoder';
import { mostChunks, partialSize } from '../kernels/attend-latents';
import { copyTokens, type TokenArea, tensorOfTokens } from './copy-tokens';
import type { DeviceBuffers } from './device-buffers';
import { submitPending } from './device-failure';
import { latentSegments } from './latent-segments';
import { type LatentRoom, type LatentShape, latentLayout, placeWords } from './latent-shape';
import type { LayerCacheBuffers } from './record-layer';
import { slotAngles } from './slot-angles';
import { storedShapes } from './stored-shapes';
import { paramWords, storedWords, type VectorForm } from './vector-form';

interface Parts {
  buffers: DeviceBuffers;
  segments: readonly Segment[];
  shapes: readonly LatentShape[];
  room: LatentRoom;
  layers: readonly LayerCacheBuffers[];
  /** Tokens of each segment. */
  lengths: readonly number[];
  /** Of those, tokens that are stored in the form of the cache. */
  stored: readonly number[];
  /** Tokens of the exact window, at least. */
  residualLength: number;
}

export class DeviceCache {
  private constructor(readonly parts: Parts) {}

  /**
   * Copy a cache.
   * @param maxTokens that may come to the last segment.
   * @param buffers own what is made.
   * @throws as `storedShapes` does, and RangeError beyond a binding.
   */
  static copy(
    decoder: Decoder,
    cache: DecoderCache,
    maxTokens: number,
    buffers: DeviceBuffers,
  ): DeviceCache {
    const segments = latentSegments(decoder.layers);
    const { shapes, residualLength } = storedShapes(decoder, cache, segments);
    const lengths = segments.map((segment) => cache.slotTable(segment).length);
    const stored = segments.map((segment, m) => storedTokens(cache, segment) ?? lengths[m]!);
    const more = (m: number) => (m === segments.length - 1 ? maxTokens : 0);
    const hasTail = shapes[0]!.tail !== 'none';
    const room = {
      capacities: lengths.map((length, m) => (more(m) > 0 ? length + more(m) : stored[m]!)),
      tails: lengths.map((length, m) => (hasTail ? length - stored[m]! + more(m) : 0)),
      firsts: stored,
    };
    const most = Math.max(...shapes.map((shape) => shape.heads * partialSize(shape)));
    const partials = buffers.storage(mostChunks(room) * most);
    const apart = shapes.some(({ biasApart }) => biasApart.includes(true));
    const angles = apart ? slotAngles(decoder.config, cache, segments, room, buffers) : undefined;
    const layers = shapes.map((shape) => ({
      cache: buffers.storage(latentLayout(shape, room).size),
      place: buffers.uniform(placeWords(shape, room)),
      partials,
      angles,
    }));
    const parts = { buffers, segments, shapes, room, layers, lengths, stored, residualLength };
    const own = new DeviceCache(parts);
    for (const layer of layers.keys()) own.copyLayer(cache, layer);
    return own;
  }

  /**
   * Append tokens of the last segment to the cache that this is a copy of.
   * @param from the first of them, which the cache lacks.
   */
  giveBack(cache: DecoderCache, from: number, count: number): void {
    const { segments, shapes, room, layers, buffers } = this.parts;
    const { device } = buffers;
    const m = segments.length - 1;
    const scratch: GPUBuffer[] = [];
    for (const [i, shape] of shapes.entries()) {
      const layout = latentLayout(shape, room);
      const inTail = shape.tail !== 'none';
      const first = inTail ? from - room.firsts[m]! : from;
      const capacity = (inTail ? room.tails : room.capacities)[m]!;
      const starts = inTail
        ? [layout.tailLatents[m]!, layout.tailKeys[m]!]
        : [layout.latents[m]!, layout.keys[m]!];
      const rows = [shape.widths[m]!, shape.keyHeads * shape.ropeDim];
      for (const [p, name] of ['kvLatent', 'kPe'].entries()) {
        const area = { start: starts[p]!, capacity, row: rows[p]! };
        const heads = name === 'kPe' ? 1 : shape.groups;
        const { cache: buffer } = layers[i]!;
        const tokens = tensorOfTokens(buffer, area, heads, [first, count], device, scratch);
        const part = cache.layers[i]!.part(segments[m]!, name);
        const own = name === 'kPe' && part.exact ? keysByHead(tokens, shape.keyHeads) : tokens;
        part.append(own);
        if (own !== tokens) own.dispose();
        tokens.dispose();
      }
    }
    submitPending(device); // which still copies from them
    for (const buffer of scratch) buffer.destroy();
  }

  private copyLayer(cache: DecoderCache, layer: number): void {
    const { segments, shapes, room, stored } = this.parts;
    const { capacities, tails } = room;
    const shape = shapes[layer]!;
    const layout = latentLayout(shape, room);
    for (const [m, segment] of segments.entries()) {
      const [capacity, tail] = [capacities[m]!, tails[m]!];
      const keyWidth = shape.keyHeads * shape.ropeDim;
      const areas = (form: VectorForm, width: number, starts: number[]) => ({
        stored: { start: starts[0]!, capacity, row: storedWords(form, width) },
        params: { start: starts[1]!, capacity, row: paramWords(form, width) },
        tail: { start: starts[2]!, capacity: tail, row: width },
      });
      const starts = {
        kvLatent: [layout.latents[m]!, layout.latentParams[m]!, layout.tailLatents[m]!],
        kPe: [layout.keys[m]!, layout.keyParams[m]!, layout.tailKeys[m]!],
      };
      const held = cache.layers[layer]!;
      const to = {
        kvLatent: areas(shape.latentForms[m]!, shape.widths[m]!, starts.kvLatent),
        kPe: areas(shape.keyForms[m]!, keyWidth, starts.kPe),
      };
      for (const name of ['kvLatent', 'kPe'] as const) {
        const heads = name === 'kPe' ? 1 : shape.groups;
        this.copyParts(held.part(segment, name).parts, to[name], layer, stored[m]!, heads);
      }
    }
  }

  private copyParts(
    parts: readonly CachePart[],
    areas: Record<'stored' | 'params' | 'tail', TokenArea>,
    layer: number,
    stored: number,
    heads: number,
  ): void {
    const buffer = this.parts.layers[layer]!.cache;
    const { device } = this.parts.buffers;
    let token = 0;
    for (const part of parts) {
      const count = part.shape.at(-2)!;
      if (part instanceof PackedTensor) {
        copyTokens(part.codes, [0, count], buffer, areas.stored, token, device);
        if (part.params) copyTokens(part.params, [0, count], buffer, areas.params, token, device);
      } else if (part.size > 0) {
        const cut = Math.min(Math.max(stored - token, 0), count);
        const rows = part.shape[1] === heads ? part : keysSideBySide(part as tf.Tensor4D);
        copyTokens(rows, [0, cut], buffer, areas.stored, token, device);
        copyTokens(rows, [cut, count], buffer, areas.tail, token + cut - stored, device);
        if (rows !== part) rows.dispose();
      }
      token += count;
    }
  }
}

/** Tokens of a segment that are codes, in all layers alike; `undefined` where no part has codes. */
function storedTokens(cache: DecoderCache, segment: Segment): number | undefined {
  const parts = cache.layers.flatMap((layer) =>
    ['kvLatent', 'kPe'].map((name) => layer.part(segment, name)),
  );
  const coded = parts
    .filter(({ exact }) => !exact)
    .map(({ parts }) =>
      parts.reduce((sum, part) => sum + (part instanceof PackedTensor ? part.shape.at(-2)! : 0), 0),
    );
  return coded[0];
}

/** Rotated keys [1, K, t, R] as [1, 1, t, K * R]; the caller disposes the result. */
function keysSideBySide(keys: tf.Tensor4D): tf.Tensor4D {
  const [, heads, tokens, width] = keys.shape;
  const shape: [number, number, number, number] = [1, 1, tokens, heads * width];
  return tf.tidy(() => tf.reshape(tf.transpose(keys, [0, 2, 1, 3]), shape));
}

/** The way back, which is how an exact cache keeps them. */
function keysByHead(keys: tf.Tensor4D, heads: number): tf.Tensor4D {
  const [, , tokens, width] = keys.shape;
  const shape: [number, number, number, number] = [1, tokens, heads, width / heads];
  if (width === 0) return tf.zeros([1, heads, tokens, 0]);
  return tf.tidy(() => tf.transpose(tf.reshape(keys, shape), [0, 2, 1, 3]));
}
