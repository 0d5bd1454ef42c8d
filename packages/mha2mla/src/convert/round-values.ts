import { type Dtype, decodeFloat32, encodeTensor } from '@mha2mla/checkpoint';

/**
 * Round weights to what they will be when they are read back.
 * @param name of the tensor, for the message.
 * @throws RangeError for a value beyond the precision: float16 ends at 65,504, bfloat16 does not.
 */
export function roundValues(name: string, values: Float32Array, dtype: Dtype): Float32Array {
  if (dtype === 'F32') return values;
  const rounded = decodeFloat32(encodeTensor(values, dtype), dtype);
  const beyond = rounded.findIndex((value) => !Number.isFinite(value));
  if (beyond < 0) return rounded;
  throw new RangeError(
    `roundValues: ${name} must fit ${dtype}, got ${values[beyond]} at element ${beyond}. Choose another dtype.`,
  );
}
