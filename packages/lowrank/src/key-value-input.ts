import { checkMatrix } from './check-matrix';
import type { OutputWeights } from './output-scaling';

/** Rows of a projection. */
export interface Outputs {
  /** [dOut, dIn], row-major; heads one after another. */
  weight: Float32Array | Float64Array;
  dOut: number;
  /** How errors of these rows count, a block a KV head; of both keys and values, or of neither. */
  outputWeights?: OutputWeights;
}

/** The projections of keys and values, and the moments of what they see. */
export interface KeyValueInput {
  /** Keys that are not rotated, [dK, dIn]; dK may be 0. */
  key: Outputs;
  /** [dV, dIn]. */
  value: Outputs;
  dIn: number;
  /** Second moment of the inputs, [dIn, dIn]. Default the identity. */
  moment?: Float64Array;
  /** Mean of the inputs, [dIn], where the moment is of x less it. */
  mean?: Float64Array;
}

/** @throws RangeError where shapes do not fit, or one side alone is weighted. */
export function checkKeyValue(caller: string, { key, value, dIn }: KeyValueInput): void {
  checkMatrix(caller, 'key', key.weight, key.dOut, dIn);
  checkMatrix(caller, 'value', value.weight, value.dOut, dIn);
  if (!key.outputWeights !== !value.outputWeights) {
    const side = key.outputWeights ? 'key' : 'value';
    throw new RangeError(
      `${caller}: outputWeights must be of keys and of values, got those of ${side} only. Their errors are added up.`,
    );
  }
}
