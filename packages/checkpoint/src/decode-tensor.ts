/**
 * Bytes of a tensor to typed arrays. Floats become float32; integers become int32 and must fit it.
 * Safetensors is little-endian, and so is every machine that runs JavaScript engines today.
 */
import { decodeBfloat16 } from './bfloat16';
import { CheckpointError } from './checkpoint-error';
import { type Dtype, dtypeBits } from './dtype';
import { decodeFloat16 } from './float16';

/**
 * Decodes floating-point bytes (F64, F32, F16, BF16) to float32.
 * @param bytes whole elements; for F32 the result may share their memory
 * @throws CheckpointError `wrong-dtype`, `not-whole-bytes`
 */
export function decodeFloat32(bytes: Uint8Array, dtype: Dtype): Float32Array {
  assertWhole(bytes, dtype, 'decodeFloat32');
  switch (dtype) {
    case 'F32': {
      const aligned = align(bytes, 4);
      return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
    }
    case 'F64': {
      const aligned = align(bytes, 8);
      const doubles = new Float64Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 8);
      return Float32Array.from(doubles);
    }
    case 'F16':
      return decodeFloat16(words(bytes));
    case 'BF16':
      return decodeBfloat16(words(bytes));
    default:
      throw new CheckpointError(
        'wrong-dtype',
        `decodeFloat32: dtype must be F64, F32, F16 or BF16, got ${dtype}. Integers are read by readInt32.`,
      );
  }
}

/**
 * Decodes integer bytes (BOOL, U8, I8, U16, I16, U32, I32, U64, I64) to int32.
 * @param bytes whole elements; for I32 the result may share their memory
 * @throws CheckpointError `wrong-dtype`, `not-whole-bytes`, `out-of-range` for a value beyond int32
 */
export function decodeInt32(bytes: Uint8Array, dtype: Dtype): Int32Array {
  assertWhole(bytes, dtype, 'decodeInt32');
  if (dtype === 'I32') {
    const aligned = align(bytes, 4);
    return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
  }
  const read = INTEGER_READERS.get(dtype);
  if (read === undefined) {
    throw new CheckpointError(
      'wrong-dtype',
      `decodeInt32: dtype must be BOOL or an integer type, got ${dtype}. Floats are read by readFloat32.`,
    );
  }
  const size = dtypeBits(dtype) / 8;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Int32Array(bytes.byteLength / size);
  for (let i = 0; i < out.length; i++) {
    const value = read(view, i * size);
    if (BigInt.asIntN(32, BigInt(value)) !== BigInt(value)) {
      throw new CheckpointError(
        'out-of-range',
        `decodeInt32: values must fit int32, got ${value} at element ${i} (${dtype}).`,
      );
    }
    out[i] = Number(value);
  }
  return out;
}

type IntegerReader = (view: DataView, offset: number) => number | bigint;
const INTEGER_READERS: ReadonlyMap<Dtype, IntegerReader> = new Map<Dtype, IntegerReader>([
  ['BOOL', (view, offset) => (view.getUint8(offset) === 0 ? 0 : 1)],
  ['U8', (view, offset) => view.getUint8(offset)],
  ['I8', (view, offset) => view.getInt8(offset)],
  ['U16', (view, offset) => view.getUint16(offset, true)],
  ['I16', (view, offset) => view.getInt16(offset, true)],
  ['U32', (view, offset) => view.getUint32(offset, true)],
  ['U64', (view, offset) => view.getBigUint64(offset, true)],
  ['I64', (view, offset) => view.getBigInt64(offset, true)],
]);

function words(bytes: Uint8Array): Uint16Array {
  const aligned = align(bytes, 2);
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
}

/** Typed arrays must start at a multiple of their element size; other bytes are copied. */
function align(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice();
}

function assertWhole(bytes: Uint8Array, dtype: Dtype, fn: string): void {
  if ((bytes.byteLength * 8) % dtypeBits(dtype) !== 0) {
    throw new CheckpointError(
      'not-whole-bytes',
      `${fn}: bytes must hold whole ${dtype} elements, got ${bytes.byteLength} bytes.`,
    );
  }
}
