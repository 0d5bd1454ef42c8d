import { packWeight } from '../webgpu/weight-format';
import type { WeightReader } from '../weight-reader';
import { type PackedMatrix, packedMatrix, type WeightPacking } from './packed-matrix';

/** Values read and packed at a time: 16 MiB of f32, and as a request over HTTP worth its latency. */
const BLOCK = 2 ** 22;

/**
 * Read a weight by blocks of rows, each packed and put in its place before the next is read.
 * @param name of a weight [outputs, inputs], neither of them 0.
 * @param block values read and packed at a time.
 * @returns a matrix that the caller disposes.
 */
export async function loadMatrix(
  weights: WeightReader,
  name: string,
  [outputs, inputs]: readonly [number, number],
  packing: WeightPacking,
  block = BLOCK,
): Promise<PackedMatrix> {
  const matrix = packedMatrix({ ...packing, inputs, outputs });
  try {
    const shape = [outputs, inputs];
    const whole = weights.readRows ? undefined : await weights.read(name, shape);
    const step = Math.max(1, Math.floor(block / inputs));
    for (let first = 0; first < outputs; first += step) {
      const end = Math.min(first + step, outputs);
      const values =
        whole?.subarray(first * inputs, end * inputs) ??
        (await weights.readRows!(name, shape, [first, end]));
      await matrix.write(
        first,
        packWeight(values, [end - first, inputs], packing.format, packing.groupSize),
      );
    }
    return matrix;
  } catch (error) {
    matrix.dispose();
    throw error;
  }
}
