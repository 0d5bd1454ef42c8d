/** Read the tensors of a packed matrix. */
import type { Checkpoint } from '../checkpoint';
import { CheckpointError } from '../checkpoint-error';
import { quoteName } from '../quote-name';
import type { PackedMatrix } from './packed-matrix';
import type { Packing } from './packing';
import type { PackedValues } from './unpack-rows';

/** @throws CheckpointError `out-of-range` for an input of a group that is not there */
export async function readPacked(
  checkpoint: Checkpoint,
  { prefix, inputs, groups, listed }: PackedMatrix,
  { groupSize }: Packing,
  signal: AbortSignal | undefined,
): Promise<PackedValues> {
  const integers = (part: string) => checkpoint.readInt32(prefix + part, signal);
  return {
    qweight: await integers('qweight'),
    qzeros: await integers('qzeros'),
    scales: await checkpoint.readFloat32(`${prefix}scales`, { ...(signal && { signal }) }),
    groupOf: listed
      ? assertGroups(prefix, await integers('g_idx'), groups)
      : Int32Array.from({ length: inputs }, (_, i) =>
          groupSize === -1 ? 0 : Math.floor(i / groupSize),
        ),
  };
}

function assertGroups(prefix: string, gIdx: Int32Array, groups: number): Int32Array {
  const wrong = gIdx.findIndex((group) => group < 0 || group >= groups);
  if (wrong === -1) return gIdx;
  throw new CheckpointError(
    'out-of-range',
    `readPacked: ${quoteName(`${prefix}g_idx`)} must name groups in 0..${groups - 1}, got ${gIdx[wrong]} at input ${wrong}.`,
  );
}
