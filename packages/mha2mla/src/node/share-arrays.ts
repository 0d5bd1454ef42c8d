/** Copies values for threads, with their typed arrays in memory that all threads read. */

type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array;

/**
 * @returns a function that copies a value. An array that it meets again, such as a moment that
 *   several jobs read, is not copied again.
 */
export function shareArrays(): <T>(value: T) => T {
  const shared = new Map<unknown, TypedArray>();
  const copy = (value: unknown): unknown => {
    if (isTypedArray(value)) {
      const known = shared.get(value) ?? shareArray(value);
      shared.set(value, known);
      return known;
    }
    if (Array.isArray(value)) return value.map(copy);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copy(inner)]));
  };
  return copy as <T>(value: T) => T;
}

function isTypedArray(value: unknown): value is TypedArray {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function shareArray(array: TypedArray): TypedArray {
  const Kind = array.constructor as new (buffer: SharedArrayBuffer) => TypedArray;
  const shared = new Kind(new SharedArrayBuffer(array.byteLength));
  shared.set(array);
  return shared;
}
