import { type PackedWeight, packWeight } from '../webgpu/weight-format';
import type { WeightReader } from '../weight-reader';
import { keptPacking } from './kept-packing';
import { type PackedMatrix, packedMatrix, type WeightPacking } from './packed-matrix';
import { takeOver } from './take-over';

/** Values read and packed at a time: 16 MiB of f32, and as a request over HTTP worth its latency. */
const BLOCK = 2 ** 22;

/**
 * Read a weight by blocks of rows, each packed and put in its place before the next is read; one that
 * is stored packed may be taken over as it is, by `keptPacking`.
 * @param name of a weight [outputs, inputs], neither of them 0.
 * @param block values read and packed at a time.
 * @returns a matrix that the caller disposes.
 */
export async function loadMatrix(
  weights: WeightReader,
  name: string,
  shape: readonly [number, number],
  packing: WeightPacking,
  block = BLOCK,
): Promise<PackedMatrix> {
  const [outputs, inputs] = shape;
  const kept = keptPacking(weights, name, packing);
  const matrix = packedMatrix({ ...kept, inputs, outputs });
  try {
    const read = await rowReader(weights, name, shape, kept, kept !== packing);
    const step = Math.max(1, Math.floor(block / inputs));
    for (let first = 0; first < outputs; first += step) {
      await matrix.write(first, await read([first, Math.min(first + step, outputs)]));
    }
    return matrix;
  } catch (error) {
    matrix.dispose();
    throw error;
  }
}

/** @param isStored whether rows are packed already. */
async function rowReader(
  weights: WeightReader,
  name: string,
  shape: readonly [number, number],
  packing: WeightPacking,
  isStored: boolean,
): Promise<(rows: readonly [number, number]) => Promise<PackedWeight>> {
  const inputs = shape[1];
  if (isStored) {
    return async (rows) =>
      takeOver(await weights.readStored!(name, shape, rows), [rows[1] - rows[0], inputs], packing);
  }
  const whole = weights.readRows ? undefined : await weights.read(name, shape);
  return async ([first, end]) => {
    const values =
      whole?.subarray(first * inputs, end * inputs) ??
      (await weights.readRows!(name, shape, [first, end]));
    return packWeight(values, [end - first, inputs], packing.format, packing.groupSize);
  };
}
