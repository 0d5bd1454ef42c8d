import * as tf from '@tensorflow/tfjs-core';
import type { VisionEncoder } from '../family';
import { runAtOnce } from './encode-steps';

/** A vision encoder of its steps: `encode` runs them all at once. */
export function visionEncoder(
  parts: Omit<VisionEncoder, 'encode'> & Required<Pick<VisionEncoder, 'encodeSteps'>>,
): VisionEncoder {
  return {
    ...parts,
    encode: (inputs, options) => tf.tidy(() => runAtOnce(parts.encodeSteps(inputs, options))),
  };
}
