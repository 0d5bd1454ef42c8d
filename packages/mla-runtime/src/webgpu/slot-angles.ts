/** The rotary angles of all slots of a conversation, for keys that are stored without their bias. */
import type { Segment } from '../attention/attention';
import type { DecoderCache } from '../cache/decoder-cache';
import type { DecoderConfig } from '../decoder-config';
import { rotaryAngles } from '../rotary';
import type { DeviceBuffers } from './device-buffers';
import type { LatentRoom } from './latent-shape';

/** The row of a segment's first slot among those of all segments. */
export function firstSlot({ capacities, tails }: LatentRoom, segment: number): number {
  return segment === 0 ? 0 : capacities[0]! + tails[0]!;
}

/** @returns [slots of all segments, cos of all pairs | sin of all pairs], those to come zeros. */
export function slotAngles(
  config: DecoderConfig,
  cache: DecoderCache,
  segments: readonly Segment[],
  room: LatentRoom,
  buffers: DeviceBuffers,
): GPUBuffer {
  const { headDim } = config;
  const last = segments.length - 1;
  const rows = firstSlot(room, last) + room.capacities[last]!;
  const buffer = buffers.storage(rows * headDim);
  for (const [m, segment] of segments.entries()) {
    const slots = cache.slotTable(segment);
    const positionIds = cache.angles.positionIds(slots);
    if (slots.length === 0) continue;
    const { cos, sin } = rotaryAngles(positionIds, slots.length, config);
    const angles = new Float32Array(slots.length * headDim);
    const half = headDim / 2;
    for (let t = 0; t < slots.length; t++) {
      angles.set(cos.subarray(t * half, (t + 1) * half), t * headDim);
      angles.set(sin.subarray(t * half, (t + 1) * half), t * headDim + half);
    }
    buffers.device.queue.writeBuffer(buffer, 4 * headDim * firstSlot(room, m), angles);
  }
  return buffer;
}
