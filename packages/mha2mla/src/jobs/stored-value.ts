/**
 * Values of plain objects, lists, numbers, texts and typed arrays as bytes, and back: a safetensors
 * file whose tensor `json` has the document, with `{"$tensor": "N"}` in the place of each array.
 */
import {
  type Dtype,
  openSafetensors,
  parseJson,
  showJson,
  writeSafetensors,
} from '@mha2mla/checkpoint';
import { JobError } from './job-error';
import type { ContentRef, JobStore } from './job-store';

type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array;

/**
 * The same value always gives the same bytes.
 * @throws RangeError for a number that JSON cannot hold; TypeError for another kind of array.
 */
export function putValue(store: JobStore, value: unknown): Promise<ContentRef> {
  const arrays: TypedArray[] = [];
  const json = JSON.stringify(value, function (this: Record<string, unknown>, key, shown) {
    const part = this[key]; // of a Buffer, `shown` is what its `toJSON` makes of it
    if (typeof part === 'number' && !Number.isFinite(part)) {
      throw new RangeError(`putValue: numbers must be finite, got ${key}=${part}.`);
    }
    if (!ArrayBuffer.isView(part)) return shown;
    arrays.push(part as TypedArray);
    return { $tensor: String(arrays.length - 1) };
  });
  const tensors = new Map<string, TypedArray>(arrays.map((array, i) => [String(i), array]));
  tensors.set('json', new TextEncoder().encode(json));
  const entries = [...tensors].map(([name, array]) => ({
    ...{ name, dtype: dtypeOf(array) },
    shape: [array.length],
  }));
  return store.put((sink) =>
    writeSafetensors(sink, entries, ({ name }) => bytesOf(tensors.get(name)!), { metadata: {} }),
  );
}

/**
 * Read what {@link putValue} wrote. Its shape is the reader's to check.
 * @throws JobError, CheckpointError for bytes that are no such file.
 */
export async function readValue(
  store: JobStore,
  ref: ContentRef,
  signal?: AbortSignal,
): Promise<unknown> {
  const file = await openSafetensors(await store.open(ref, signal));
  const arrays = new Map<string, TypedArray>();
  for (const { name, dtype } of file.tensors.values()) {
    arrays.set(name, arrayOf(dtype, await file.readBytes(name), ref));
  }
  const json = arrays.get('json');
  if (!(json instanceof Uint8Array)) throw damaged(ref, 'hold a document, got none');
  const name = `json of content ${ref.sha256}`;
  return withArrays(parseJson(textOf(json, ref), name), arrays, ref);
}

/** A document, which nobody else has, with the arrays that it names. */
function withArrays(
  part: unknown,
  arrays: ReadonlyMap<string, TypedArray>,
  ref: ContentRef,
): unknown {
  if (typeof part !== 'object' || part === null) return part;
  const parts = part as Record<string, unknown>;
  if (Object.hasOwn(parts, '$tensor')) {
    const name = parts.$tensor;
    const array = typeof name === 'string' ? arrays.get(name) : undefined;
    if (!array) throw damaged(ref, `hold the arrays that it names, got none for ${showJson(name)}`);
    return array;
  }
  for (const [key, value] of Object.entries(parts)) parts[key] = withArrays(value, arrays, ref);
  return parts;
}

function textOf(bytes: Uint8Array, ref: ContentRef): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw damaged(ref, 'hold a document in UTF-8');
  }
}

function damaged({ sha256 }: ContentRef, expected: string): JobError {
  return new JobError('damaged-content', `readValue: content ${sha256} must ${expected}.`);
}

function dtypeOf(array: TypedArray): Dtype {
  if (array instanceof Float32Array) return 'F32';
  if (array instanceof Float64Array) return 'F64';
  if (array instanceof Int32Array) return 'I32';
  if (array instanceof Uint8Array) return 'U8';
  throw new TypeError('putValue: arrays must be of f32, f64, i32 or u8, got another type.');
}

function bytesOf({ buffer, byteOffset, byteLength }: TypedArray): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function arrayOf(dtype: Dtype, read: Uint8Array, ref: ContentRef): TypedArray {
  const bytes = read.byteOffset % 8 === 0 ? read : Uint8Array.from(read);
  const place = [bytes.buffer as ArrayBuffer, bytes.byteOffset] as const;
  if (dtype === 'F32') return new Float32Array(...place, bytes.byteLength / 4);
  if (dtype === 'F64') return new Float64Array(...place, bytes.byteLength / 8);
  if (dtype === 'I32') return new Int32Array(...place, bytes.byteLength / 4);
  if (dtype === 'U8') return bytes;
  throw damaged(ref, `hold arrays of a stored type, got ${dtype}`);
}
