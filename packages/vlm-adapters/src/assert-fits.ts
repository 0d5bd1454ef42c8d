import { backendRoom, type WeightFormat } from '@mha2mla/mla-runtime';
import type { VlmSource } from './open-vlm';
import { type WeightSizeOptions, type WeightSizes, weightSizes } from './weight-sizes';

/** Options of `assertFits`. */
export interface AssertFitsOptions extends WeightSizeOptions {
  /** Of the machine, where it is known; of what a device holds beside it nothing is. */
  memoryBytes?: number;
}

const NARROWER: readonly WeightFormat[] = ['f16', 'int8', 'int4'];

/**
 * Refuse weights that the backend in use cannot hold, before any is read.
 * @throws RangeError of `code` 'does-not-fit' with what they take, what there is, and the formats
 *   that would fit.
 */
export function assertFits(source: VlmSource, options: AssertFitsOptions = {}): void {
  const why = excess(weightSizes(source, options), options.memoryBytes);
  if (!why) return;
  const { weights = 'f32', groupSize, memoryBytes } = options;
  const fitting = NARROWER.map((format) => {
    const sizes = weightSizes(source, { weights: format, ...(groupSize && { groupSize }) });
    return { format, sizes, fits: !excess(sizes, memoryBytes) };
  }).filter(({ fits }) => fits);
  const narrower = fitting.map(({ format, sizes }) => `${format} (${gb(total(sizes))})`).join(', ');
  const hint = narrower
    ? `Keep them as ${narrower}, by \`weights\` or --weights.`
    : 'Choose another backend, or a machine with more memory.';
  const error = new RangeError(`assertFits: weights in ${weights} must ${why}. ${hint}`);
  throw Object.assign(error, { code: 'does-not-fit' });
}

/** What they must, and do not; `undefined` where they fit. */
function excess(sizes: WeightSizes, memoryBytes = Number.POSITIVE_INFINITY): string | undefined {
  const { heapBytes, bufferBytes } = backendRoom();
  const { tensorBytes, largest } = sizes;
  // A matrix is copied once as it is loaded, to lie as its product reads it.
  const heap = tensorBytes + largest.sizeBytes;
  if (heap > heapBytes) return `fit into the ${gb(heapBytes)} of wasm's memory, got ${gb(heap)}`;
  if (largest.sizeBytes > bufferBytes) {
    return `be tensors that fit into the device's buffers of ${gb(bufferBytes)}, got ${largest.name} of ${gb(largest.sizeBytes)}`;
  }
  if (total(sizes) > memoryBytes) {
    return `fit into ${gb(memoryBytes)} of memory, got ${gb(total(sizes))}`;
  }
  return undefined;
}

const total = (sizes: WeightSizes) => sizes.tensorBytes + sizes.packedBytes;

const gb = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
