/**
 * Count the bytes of all typed arrays that some code makes, freed ones too, so that "memory bounded
 * by the file" can be asserted without a garbage collector in the way.
 */
const TYPED_ARRAYS = [
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
] as const;

interface Constructor {
  new (...args: unknown[]): object;
  readonly prototype: { constructor: Constructor };
  readonly BYTES_PER_ELEMENT: number;
}

/** Run `body` and give the bytes that it asked for, also where that failed; it may throw. */
export async function allocatedBytes(
  body: () => unknown,
): Promise<{ bytes: number; error: unknown }> {
  let bytes = 0;
  const originals = TYPED_ARRAYS.map((name) => {
    return [name, globalThis[name] as unknown as Constructor] as const;
  });
  for (const [name, original] of originals) {
    const counting: Constructor = new Proxy(original, {
      construct(target, args: unknown[], newTarget): object {
        bytes += original.BYTES_PER_ELEMENT * elementsOf(args[0]);
        return Reflect.construct(target, args, newTarget === counting ? target : newTarget);
      },
    });
    replaceGlobal(name, counting);
  }
  try {
    await body();
    return { bytes, error: undefined };
  } catch (error) {
    return { bytes, error };
  } finally {
    for (const [name, original] of originals) replaceGlobal(name, original);
  }
}

/** Some code compares `array.constructor` with the global, so both change. */
function replaceGlobal(name: string, replacement: Constructor): void {
  (globalThis as unknown as Record<string, Constructor>)[name] = replacement;
  replacement.prototype.constructor = replacement;
}

/** Elements of a new array by the first argument; a view of a buffer has none of its own. */
function elementsOf(source: unknown): number {
  if (typeof source === 'number') return source;
  const isView = typeof source !== 'object' || source === null || source instanceof ArrayBuffer;
  return isView ? 0 : ((source as { length?: number }).length ?? 0);
}
