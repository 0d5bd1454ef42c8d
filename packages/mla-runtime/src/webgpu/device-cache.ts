/**
 * What a conversation has cached, copied to where a recorded step reads and writes it, and the way
 * back of the tokens that it has decoded.
 */
import { type CachePart, PackedTensor } from '@mha2mla/kv-quant';
import type { Segment } from '../attention/attention';
import type { DecoderCache } from '../cache/decoder-cache';
import { storedParts } from '../cache/layer-cache';
import type { Decoder } from '../decoder';
import { mostChunks, partialSize } from '../kernels/attend-latents';
import { type AttentionForm, attentionForm, commonSegments } from './attention-form';
import { type Areas, areasOf } from './cache-areas';
import { type CachedRow, cachedRows, roomFor } from './cached-rows';
import { copyTokens, tensorOfTokens } from './copy-tokens';
import type { DeviceBuffers } from './device-buffers';
import { submitPending } from './device-failure';
import { placeWords } from './latent-place';
import { type LatentRoom, type LatentShape, latentLayout } from './latent-shape';
import type { LayerCacheBuffers } from './record-layer';
import { slotAngles } from './slot-angles';
import { runsWithin, type SlotRun } from './slot-runs';
import { storedShapes } from './stored-shapes';

interface Parts {
  buffers: DeviceBuffers;
  segments: readonly Segment[];
  shapes: readonly LatentShape[];
  /** In the cache, of each layer. */
  names: readonly AttentionForm['names'][];
  room: LatentRoom;
  layers: readonly LayerCacheBuffers[];
  rows: readonly CachedRow[];
  /** Slots of the last segment, and of those the slots that are stored in the form of the cache. */
  slots: number;
  storedSlots: number;
  /** Slots of the exact window, at least. */
  residualLength: number;
}

const PARTS = ['latents', 'keys'] as const;

export class DeviceCache {
  private constructor(readonly parts: Parts) {}

  /**
   * Copy a cache.
   * @param maxTokens that may come to the last segment of each row.
   * @param buffers own what is made.
   * @throws as `storedShapes` does, and RangeError beyond a binding.
   */
  static copy(
    decoder: Decoder,
    cache: DecoderCache,
    maxTokens: number,
    buffers: DeviceBuffers,
  ): DeviceCache {
    const segments = commonSegments(decoder.layers);
    const { shapes, residualLength } = storedShapes(decoder, cache, segments);
    const { rows, runs, slots, storedSlots } = cachedRows(cache, segments);
    const hasTail = shapes[0]!.tail !== 'none';
    const room = roomFor(rows, maxTokens, hasTail);
    const most = Math.max(...shapes.map((shape) => shape.heads * partialSize(shape)));
    const rowPartials = mostChunks(room) * most;
    const partials = buffers.storage(cache.batch * rowPartials);
    const apart = shapes.some(({ biasApart }) => biasApart.includes(true));
    const angles = apart
      ? slotAngles(decoder.config, cache, segments, runs, room, buffers)
      : undefined;
    const layers = shapes.map((shape) => ({
      cache: buffers.storage(cache.batch * latentLayout(shape, room).size),
      place: buffers.uniform(placeWords(shape, room, rowPartials)),
      partials,
      angles,
    }));
    const names = decoder.layers.map((layer) => attentionForm(layer).names);
    const own = new DeviceCache({
      ...{ buffers, segments, shapes, names, room, layers, rows, residualLength },
      ...{ slots, storedSlots: storedSlots.at(-1)! },
    });
    for (const layer of layers.keys()) {
      own.writeTables(layer);
      own.copyLayer(cache, layer, runs, storedSlots);
    }
    return own;
  }

  /**
   * Append tokens of the last segment to the cache that this is a copy of.
   * @param firsts [B], the first of each row, which the cache lacks.
   */
  giveBack(cache: DecoderCache, firsts: readonly number[], count: number): void {
    const { segments, shapes, names, room, layers, rows, buffers } = this.parts;
    const { device } = buffers;
    const m = segments.length - 1;
    const scratch: GPUBuffer[] = [];
    for (const [i, shape] of shapes.entries()) {
      const areas = areasOf(shape, room, m);
      const inTail = shape.tail !== 'none';
      const own = inTail ? firsts.map((first, row) => first - rows[row]!.stored[m]!) : firsts;
      for (const part of PARTS) {
        const { vectors, tail, stored } = areas[part];
        const area = inTail ? tail : stored;
        const { cache: buffer } = layers[i]!;
        const tokens = tensorOfTokens(buffer, area, vectors, own, count, device, scratch);
        cache.layers[i]!.part(segments[m]!, names[i]![part]).append(tokens);
        tokens.dispose();
      }
    }
    submitPending(device); // which still copies from them
    for (const buffer of scratch) buffer.destroy();
  }

  /** What all tokens of a row share. */
  private writeTables(layer: number): void {
    const { shapes, room, layers, rows, buffers } = this.parts;
    const shape = shapes[layer]!;
    const { latentTables, size } = latentLayout(shape, room);
    for (const [m, { table }] of shape.latentForms.entries()) {
      if (!table) continue;
      const words = new Float32Array([...table.scales, ...table.zeros]);
      for (const row of rows.keys()) {
        const at = 4 * (row * size + latentTables[m]!);
        buffers.device.queue.writeBuffer(layers[layer]!.cache, at, words);
      }
    }
  }

  private copyLayer(
    cache: DecoderCache,
    layer: number,
    runs: readonly (readonly SlotRun[])[],
    storedSlots: readonly number[],
  ): void {
    const { segments, shapes, names, room } = this.parts;
    for (const [m, segment] of segments.entries()) {
      const areas = areasOf(shapes[layer]!, room, m);
      for (const part of PARTS) {
        const vectors = cache.layers[layer]!.part(segment, names[layer]![part]);
        const slots = { runs: runs[m]!, m, end: storedSlots[m]! };
        this.copyParts(storedParts(vectors), areas[part], layer, slots);
      }
    }
  }

  /** @param slots runs of segment `m`, of which those from slot `end` on belong to the tail. */
  private copyParts(
    parts: readonly CachePart[],
    areas: Areas,
    layer: number,
    { runs, m, end }: { runs: readonly SlotRun[]; m: number; end: number },
  ): void {
    const buffer = this.parts.layers[layer]!.cache;
    const { device } = this.parts.buffers;
    let slot = 0;
    for (const part of parts) {
      const count = part.shape.at(-2)!;
      const own = runsWithin(runs, slot, count);
      if (part instanceof PackedTensor) {
        copyTokens(part.codes, own, buffer, areas.stored, device);
        if (part.params) copyTokens(part.params, own, buffer, areas.params, device);
      } else if (part.size > 0) {
        const isTail = ({ from }: SlotRun) => from + slot >= end;
        const stored = own.filter((run) => !isTail(run));
        copyTokens(part, stored, buffer, areas.stored, device);
        const inTail = own.filter(isTail).map((run) => ({
          ...run,
          to: run.to - this.parts.rows[run.row]!.stored[m]!,
        }));
        copyTokens(part, inTail, buffer, areas.tail, device);
      }
      slot += count;
    }
  }
}
