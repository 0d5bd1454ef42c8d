/** Where the integers of one packed matrix lie, and which shapes they must have. */
import type { Checkpoint } from '../checkpoint';
import { CheckpointError } from '../checkpoint-error';
import type { Dtype } from '../dtype';
import { quoteName } from '../quote-name';
import type { TensorInfo } from '../safetensors-header';
import type { Packing } from './packing';

/** A matrix [outputs, inputs] whose values are `(integer − zero) · scale`. */
export interface PackedMatrix {
  /** Of its tensors, with the point: `model.layers.0.mlp.up_proj.`. */
  prefix: string;
  inputs: number;
  outputs: number;
  /** Groups of inputs. */
  groups: number;
  /** Of its scales, and so of its values. */
  dtype: Dtype;
  /** Whether `g_idx` says which group an input belongs to; otherwise they follow each other. */
  listed: boolean;
  /** Whether they follow each other in any case. */
  inOrder: boolean;
}

/** What a matrix stores beside `qweight`. */
export const PACKED_PARTS = ['qweight', 'qzeros', 'scales', 'g_idx'] as const;

/**
 * Checks the tensors around a `qweight`; headers alone are read.
 * @throws CheckpointError `missing-tensor`, `wrong-shape`, `wrong-dtype`, `duplicate-key` where the
 *   matrix is stored as floats as well
 */
export function findPackedMatrix(
  { tensors }: Pick<Checkpoint, 'tensors'>,
  { name: qweight, shape, dtype }: TensorInfo,
  { method, bits, groupSize, inOrder }: Packing,
): PackedMatrix {
  const prefix = qweight.slice(0, -'qweight'.length);
  if (tensors.has(`${prefix}weight`)) {
    throw new CheckpointError(
      'duplicate-key',
      `findPackedMatrix: a matrix must be stored once, got ${quoteName(`${prefix}weight`)} beside ${quoteName(qweight)}.`,
    );
  }
  const perWord = 32 / bits;
  const [rows = 0, columns = 0] = shape;
  // GPTQ packs along the inputs, AWQ along the outputs.
  const [inputs, outputs] =
    method === 'gptq' ? [rows * perWord, columns] : [rows, columns * perWord];
  const groups = groupSize === -1 ? 1 : Math.ceil(inputs / groupSize);
  const check = (part: string, expected: readonly number[], dtypes: readonly Dtype[]) => {
    const info = tensors.get(prefix + part);
    if (!info) throw missing(prefix + part, expected);
    assertForm(info, expected, dtypes);
    return info;
  };
  assertForm({ name: qweight, shape, dtype }, [rows, columns], ['I32']);
  check('qzeros', [groups, outputs / perWord], ['I32']);
  const scales = check('scales', [groups, outputs], ['F16', 'BF16', 'F32']);
  const listed = method === 'gptq' && tensors.has(`${prefix}g_idx`);
  if (listed) check('g_idx', [inputs], ['I32']);
  const form = { prefix, inputs, outputs, groups, dtype: scales.dtype };
  return { ...form, listed, inOrder: inOrder || !listed };
}

function assertForm(
  { name, shape, dtype }: Pick<TensorInfo, 'name' | 'shape' | 'dtype'>,
  expected: readonly number[],
  dtypes: readonly Dtype[],
): void {
  if (!dtypes.includes(dtype)) {
    throw new CheckpointError(
      'wrong-dtype',
      `findPackedMatrix: ${quoteName(name)} must be ${dtypes.join(' or ')}, got ${dtype}.`,
    );
  }
  const same = shape.length === expected.length && shape.every((size, i) => size === expected[i]);
  if (same && !shape.includes(0)) return;
  throw new CheckpointError(
    'wrong-shape',
    `findPackedMatrix: ${quoteName(name)} must be [${expected}] by qweight and quantization_config, without empty dimensions, got [${shape}].`,
  );
}

function missing(name: string, expected: readonly number[]): CheckpointError {
  return new CheckpointError(
    'missing-tensor',
    `findPackedMatrix: a packed matrix must have ${quoteName(name)} [${expected}], got none.`,
  );
}
