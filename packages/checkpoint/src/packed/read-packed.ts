/** Read the tensors of a packed matrix. */
import type { Checkpoint } from '../checkpoint';
import { CheckpointError } from '../checkpoint-error';
import { quoteName } from '../quote-name';
import type { PackedMatrix } from './packed-matrix';
import type { Packing } from './packing';

/** The values of a matrix's tensors, as stored. */
export interface PackedValues {
  /** GPTQ [I·bits/32, O], AWQ [I, O·bits/32]. */
  qweight: Int32Array;
  /** [G, O·bits/32] */
  qzeros: Int32Array;
  /** [G, O] */
  scales: Float32Array;
  /** [I]: the group of an input, in 0..G − 1. */
  groupOf: Int32Array;
}

/**
 * Read a matrix whole, each of its tensors once: rows lie across all of `qweight`.
 * @throws CheckpointError `out-of-range` for an input of a group that is not there, or is another than
 *   the config says
 */
export async function readPacked(
  checkpoint: Checkpoint,
  { prefix, inputs, groups, listed, inOrder }: PackedMatrix,
  { groupSize }: Packing,
  signal: AbortSignal | undefined,
): Promise<PackedValues> {
  const ordered = Int32Array.from({ length: inputs }, (_, input) =>
    groupSize === -1 ? 0 : Math.floor(input / groupSize),
  );
  const integers = (part: string) => checkpoint.readInt32(prefix + part, signal);
  return {
    qweight: await integers('qweight'),
    qzeros: await integers('qzeros'),
    scales: await checkpoint.readFloat32(`${prefix}scales`, { ...(signal && { signal }) }),
    groupOf: listed
      ? assertGroups(prefix, await integers('g_idx'), groups, inOrder ? ordered : undefined)
      : ordered,
  };
}

function assertGroups(
  prefix: string,
  gIdx: Int32Array,
  groups: number,
  ordered: Int32Array | undefined,
): Int32Array {
  const moved = ordered ? gIdx.findIndex((group, input) => group !== ordered[input]) : -1;
  if (moved !== -1) {
    throw new CheckpointError(
      'out-of-range',
      `readPacked: ${quoteName(`${prefix}g_idx`)} must be in order where quantization_config has desc_act false, got group ${gIdx[moved]} at input ${moved}. Set desc_act to true if the list is right.`,
    );
  }
  const wrong = gIdx.findIndex((group) => group < 0 || group >= groups);
  if (wrong === -1) return gIdx;
  throw new CheckpointError(
    'out-of-range',
    `readPacked: ${quoteName(`${prefix}g_idx`)} must name groups in 0..${groups - 1}, got ${gIdx[wrong]} at input ${wrong}.`,
  );
}
