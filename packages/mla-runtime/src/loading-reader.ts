import { WEIGHT_FORMATS, type WeightFormat } from './webgpu/weight-format';
import type { WeightReader } from './weight-reader';

/** How weights are kept, and when to stop reading them. */
export interface LoadWeightsOptions {
  signal?: AbortSignal;
  /**
   * How matrices (linear maps, and the table of embeddings) are kept. Default f32, exact. Others are
   * packed while they are read, some rows at a time; int8 and int4 take over matrices that are stored
   * as integers of no more bits, as they are.
   */
  weights?: WeightFormat;
  /** Inputs that share a scale, of what int8 and int4 pack; a multiple of 8. Default 32. */
  groupSize?: number;
}

/**
 * The same weights for a loader: reads fail once the signal is aborted, and say how to keep them.
 * @throws RangeError for another format or group size.
 */
export function loadingReader(
  reader: WeightReader,
  { signal, weights = 'f32', groupSize = 32 }: LoadWeightsOptions,
): WeightReader {
  if (!WEIGHT_FORMATS.includes(weights)) {
    throw new RangeError(
      `loadDecoder: weights must be one of ${WEIGHT_FORMATS.join(', ')}, got ${weights}.`,
    );
  }
  if (!Number.isSafeInteger(groupSize) || groupSize < 8 || groupSize % 8 !== 0) {
    throw new RangeError(`loadDecoder: groupSize must be a multiple of 8, got ${groupSize}.`);
  }
  const packing = weights === 'f32' ? reader.packing : { format: weights, groupSize };
  return {
    shape: (name) => reader.shape(name),
    async read(name, expected) {
      signal?.throwIfAborted();
      return reader.read(name, expected);
    },
    ...(reader.readRows && {
      async readRows(name, expected, rows) {
        signal?.throwIfAborted();
        return reader.readRows!(name, expected, rows);
      },
    }),
    ...(reader.readStored && {
      storedPacking: (name) => reader.storedPacking?.(name),
      async readStored(name, expected, rows) {
        signal?.throwIfAborted();
        return reader.readStored!(name, expected, rows);
      },
    }),
    ...(packing && { packing }),
  };
}
