/**
 * Writes a safetensors file as a stream: the header first, since shapes and dtypes are known, then
 * one tensor at a time. Tensors are ordered as the Rust writer does (larger elements first, then by
 * name), so the same content always gives the same bytes.
 */
import { CheckpointError } from './checkpoint-error';
import { type Dtype, dtypeBits, isDtype } from './dtype';
import { encodeTensor, type TensorValues } from './encode-tensor';
import { quoteName } from './quote-name';

/** Where bytes go, in order. */
export interface ByteSink {
  /** Takes the next bytes; the promise resolves when more may come. */
  write(bytes: Uint8Array): Promise<void>;
}

/** A tensor to be written. */
export interface TensorEntry {
  name: string;
  dtype: Dtype;
  shape: readonly number[];
}

/** Options of `writeSafetensors`. */
export interface WriteSafetensorsOptions {
  /** transformers refuses a file without `format: 'pt'`, hence the default. */
  metadata?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
}

/**
 * Writes tensors to `sink`.
 * @param entries in any order; they are written larger elements first, then by name
 * @param dataOf called once an entry, in the order of writing: bytes of the entry's dtype
 *   (`Uint8Array`), or floats or integers to be encoded to it; for a U8 or BOOL entry both are one
 * @throws CheckpointError `write-mismatch` for a wrong length, name or shape, and those of
 *   `encodeTensor`
 */
export async function writeSafetensors<Entry extends TensorEntry>(
  sink: ByteSink,
  entries: readonly Entry[],
  dataOf: (entry: Entry) => Promise<TensorValues> | TensorValues,
  { metadata = { format: 'pt' }, signal }: WriteSafetensorsOptions = {},
): Promise<void> {
  const ordered = [...entries].sort(
    (a, b) => dtypeBits(b.dtype) - dtypeBits(a.dtype) || compareNames(a.name, b.name),
  );
  await sink.write(headerBytes(ordered, metadata));
  for (const entry of ordered) {
    signal?.throwIfAborted();
    const values = await dataOf(entry);
    const bytes = values instanceof Uint8Array ? values : encodeTensor(values, entry.dtype);
    const expected = entryBytes(entry);
    if (bytes.byteLength !== expected) {
      throw new CheckpointError(
        'write-mismatch',
        `writeSafetensors: ${quoteName(entry.name)} (${entry.dtype} [${entry.shape}]) must have ${expected} bytes, got ${bytes.byteLength}.`,
      );
    }
    if (expected > 0) await sink.write(bytes);
  }
}

/** Bytes that a file of these entries will have, header included. */
export function safetensorsSize(
  entries: readonly TensorEntry[],
  { metadata = { format: 'pt' } }: WriteSafetensorsOptions = {},
): number {
  const header = headerBytes(entries, metadata).byteLength;
  return entries.reduce((sum, entry) => sum + entryBytes(entry), header);
}

function headerBytes(
  ordered: readonly TensorEntry[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const parts: string[] = [];
  const pairs = Object.entries(metadata).sort(([a], [b]) => compareNames(a, b));
  if (pairs.length > 0) parts.push(`"__metadata__":{${pairs.map(metadataPair).join(',')}}`);
  const seen = new Set<string>();
  let offset = 0;
  for (const entry of ordered) {
    assertEntry(entry, seen);
    const end = offset + entryBytes(entry);
    const body = { dtype: entry.dtype, shape: entry.shape, data_offsets: [offset, end] };
    parts.push(`${JSON.stringify(entry.name)}:${JSON.stringify(body)}`);
    offset = end;
  }
  const json = new TextEncoder().encode(`{${parts.join(',')}}`);
  // Data starts at a multiple of 8, so that every element type is aligned in a mapped file.
  const length = Math.ceil(json.byteLength / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
}

function metadataPair([key, value]: [string, string]): string {
  return `${JSON.stringify(key)}:${JSON.stringify(String(value))}`;
}

function assertEntry(entry: TensorEntry, seen: Set<string>): void {
  const { name, dtype, shape } = entry;
  const fail = (what: string) =>
    new CheckpointError(
      'write-mismatch',
      `writeSafetensors: ${what}, got ${quoteName(name)} (${dtype} [${shape}]).`,
    );
  if (seen.has(name)) throw fail('names must differ');
  if (name === '__metadata__' || /\p{Cs}/u.test(name))
    throw fail('a name must be Unicode and not __metadata__');
  if (!isDtype(dtype)) throw fail('a dtype must be one of the format');
  if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0))
    throw fail('a shape must hold natural numbers');
  if (!Number.isSafeInteger(entryBytes(entry)))
    throw fail('a tensor must fill whole bytes, below 2^53');
  seen.add(name);
}

function entryBytes({ dtype, shape }: TensorEntry): number {
  return (shape.reduce((product, dim) => product * dim, 1) * dtypeBits(dtype)) / 8;
}

function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
