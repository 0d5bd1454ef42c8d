/** Typed arrays to the bytes of a tensor, in the dtype that the file is to have. */
import { encodeBfloat16 } from './bfloat16';
import { CheckpointError } from './checkpoint-error';
import type { Dtype } from './dtype';
import { encodeFloat16 } from './float16';

/** What a tensor can be encoded from. */
export type TensorValues = Float32Array | Int32Array | Uint8Array;

/**
 * Encodes values as little-endian bytes of `dtype`: floats to F64, F32, F16, BF16 (to nearest, ties
 * to even), integers to any integer type, range-checked.
 * @returns bytes; for F32 and I32 they may share the memory of `values`
 * @throws CheckpointError `wrong-dtype` for floats as integers or the reverse, `out-of-range`
 */
export function encodeTensor(values: TensorValues, dtype: Dtype): Uint8Array {
  if (values instanceof Float32Array) return encodeFloats(values, dtype);
  if (dtype === 'I32' && values instanceof Int32Array) return bytesOf(values);
  const range = INTEGER_RANGES.get(dtype);
  if (range === undefined) throw wrongDtype(values, dtype);
  const out = range.make(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value < range.min || value > range.max) {
      throw new CheckpointError(
        'out-of-range',
        `encodeTensor: values must fit ${dtype}, got ${value} at element ${i}.`,
      );
    }
    out[i] = out instanceof BigInt64Array || out instanceof BigUint64Array ? BigInt(value) : value;
  }
  return bytesOf(out);
}

function encodeFloats(values: Float32Array, dtype: Dtype): Uint8Array {
  switch (dtype) {
    case 'F32':
      return bytesOf(values);
    case 'F64':
      return bytesOf(Float64Array.from(values));
    case 'F16':
      return bytesOf(encodeFloat16(values));
    case 'BF16':
      return bytesOf(encodeBfloat16(values));
    default:
      throw wrongDtype(values, dtype);
  }
}

interface IntegerRange {
  min: number;
  max: number;
  make(length: number): ArrayBufferView & { [index: number]: number | bigint };
}

// The values come from int32, so the wide types are bounded by it.
const INTEGER_RANGES: ReadonlyMap<Dtype, IntegerRange> = new Map<Dtype, IntegerRange>([
  ['BOOL', { min: 0, max: 1, make: (n) => new Uint8Array(n) }],
  ['U8', { min: 0, max: 255, make: (n) => new Uint8Array(n) }],
  ['I8', { min: -128, max: 127, make: (n) => new Int8Array(n) }],
  ['U16', { min: 0, max: 65535, make: (n) => new Uint16Array(n) }],
  ['I16', { min: -32768, max: 32767, make: (n) => new Int16Array(n) }],
  ['U32', { min: 0, max: 2 ** 31 - 1, make: (n) => new Uint32Array(n) }],
  ['I32', { min: -(2 ** 31), max: 2 ** 31 - 1, make: (n) => new Int32Array(n) }],
  ['U64', { min: 0, max: 2 ** 31 - 1, make: (n) => new BigUint64Array(n) }],
  ['I64', { min: -(2 ** 31), max: 2 ** 31 - 1, make: (n) => new BigInt64Array(n) }],
]);

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function wrongDtype(values: TensorValues, dtype: Dtype): CheckpointError {
  return new CheckpointError(
    'wrong-dtype',
    `encodeTensor: floats must go to F64, F32, F16 or BF16 and integers to an integer type, got ${values.constructor.name} for ${dtype}.`,
  );
}
