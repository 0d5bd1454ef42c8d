/** The rotary angles of all slots of a conversation, for keys that are stored without their bias. */
import type { Segment } from '../attention/attention';
import type { DecoderCache } from '../cache/decoder-cache';
import type { DecoderConfig } from '../decoder-config';
import { rotaryAngles } from '../rotary';
import type { DeviceBuffers } from './device-buffers';
import { firstSlot, type LatentRoom, slotCount } from './latent-shape';
import type { SlotRun } from './slot-runs';

/**
 * @param runs of the filled slots of each row, per segment.
 * @returns [B, slots of all segments, cos of all pairs | sin of all pairs], those to come zeros.
 */
export function slotAngles(
  config: DecoderConfig,
  cache: DecoderCache,
  segments: readonly Segment[],
  runs: readonly (readonly SlotRun[])[],
  room: LatentRoom,
  buffers: DeviceBuffers,
): GPUBuffer {
  const { headDim } = config;
  const slots = slotCount(room);
  const buffer = buffers.storage(cache.batch * slots * headDim);
  for (const [m, segment] of segments.entries()) {
    const table = cache.slotTable(segment);
    if (table.length === 0) continue;
    const count = cache.batch * table.length;
    const angles = angleRows(cache.angles.positionIds(table), count, config);
    for (const { row, from, count, to } of runs[m]!) {
      const first = (row * table.length + from) * headDim;
      const place = row * slots + firstSlot(room, m) + to;
      const own = angles.subarray(first, first + count * headDim);
      buffers.device.queue.writeBuffer(buffer, 4 * headDim * place, own);
    }
  }
  return buffer;
}

/** @returns [tokens, cos of all pairs | sin of all pairs]. */
export function angleRows(
  positionIds: Int32Array,
  tokens: number,
  config: DecoderConfig,
): Float32Array<ArrayBuffer> {
  const { cos, sin } = rotaryAngles(positionIds, tokens, config);
  const half = config.headDim / 2;
  const rows = new Float32Array(tokens * config.headDim);
  for (let t = 0; t < tokens; t++) {
    const [first, end] = [t * half, (t + 1) * half];
    rows.set(cos.subarray(first, end), 2 * first);
    rows.set(sin.subarray(first, end), 2 * first + half);
  }
  return rows;
}
