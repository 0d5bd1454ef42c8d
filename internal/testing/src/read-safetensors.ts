/**
 * Read a small safetensors fixture whole. It trusts the file and shares no code with the
 * `checkpoint` package, so that goldens do not depend on what they test.
 */
import { readFileSync } from 'node:fs';

export interface FixtureTensor {
  dtype: string;
  shape: number[];
  /** Floats as f32, integers as i32. */
  data: Float32Array | Int32Array;
}

/** @param path absolute; see `fixture`. @returns tensors by name. */
export function readSafetensors(path: string): Map<string, FixtureTensor> {
  const file = readFileSync(path);
  const { buffer, byteOffset } = file;
  const headerLength = Number(new DataView(buffer, byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerLength))) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, FixtureTensor>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [start, end] = data_offsets.map((offset) => 8 + headerLength + offset);
    // Copied, so that typed arrays start at an aligned address.
    const bytes = Uint8Array.from(file.subarray(start, end));
    tensors.set(name, { dtype, shape, data: decode(bytes.buffer, dtype, name) });
  }
  return tensors;
}

function decode(buffer: ArrayBuffer, dtype: string, name: string): Float32Array | Int32Array {
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer);
    case 'I32':
      return new Int32Array(buffer);
    case 'I64':
      return Int32Array.from(new BigInt64Array(buffer), Number);
    case 'U8':
      return Int32Array.from(new Uint8Array(buffer));
    case 'I8':
      return Int32Array.from(new Int8Array(buffer));
    case 'BF16':
      return new Float32Array(
        Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer,
      );
    case 'F16':
      return Float32Array.from(new Uint16Array(buffer), halfToFloat);
    default:
      throw new Error(`readSafetensors: ${name} has a dtype that no fixture needs, ${dtype}.`);
  }
}

function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
