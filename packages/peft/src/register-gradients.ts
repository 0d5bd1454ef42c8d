/**
 * TensorFlow.js keeps the gradients of its kernels apart from the kernels, and the Node build of
 * tfjs-core registers none ("gradient function not found for BatchMatMul"). These are the gradients
 * that training a decoder needs, written for speed on wasm and registered on the engine of the
 * application (its registry is shared by all copies). Gradients that exist, which `@tensorflow/tfjs`
 * and so tfjs-node bring along, are left alone, except those of the matrix product, of gather and of
 * where, which are slow or missing kernels on wasm, two that are wrong there, and those that copy
 * their gradient once more on the native backend.
 */
import * as tf from '@tensorflow/tfjs-core';
import { binaryGradients } from './gradients/binary';
import { matMulGradients } from './gradients/mat-mul';
import { reductionGradients } from './gradients/reduction';
import { selectionGradients } from './gradients/selection';
import { shapeGradients } from './gradients/shape';
import { sliceGradients } from './gradients/slice';
import { unaryGradients } from './gradients/unary';

/** tfjs-core 4.22: wrong shape for a second operand that is broadcast; an error for a single part. */
const WRONG_ELSEWHERE: string[] = [tf.SquaredDifference, tf.SplitV];
/** tfjs-core 4.22 reshapes what has its shape already. */
const SLOW_ELSEWHERE: string[] = [tf.Add, tf.Sub, tf.Multiply];

/**
 * Register the gradients of the kernels that training uses. Later calls return at once, unless an
 * import has replaced them since.
 * `valueAndGrads` calls it; call it yourself before `tf.grads` or `tf.variableGrads`.
 */
export function registerGradients(): void {
  const [first] = matMulGradients;
  if (tf.getGradient(first!.kernelName) === first) return;
  const own = [
    ...binaryGradients,
    ...reductionGradients,
    ...shapeGradients,
    ...sliceGradients,
    ...unaryGradients,
  ];
  for (const config of own) {
    const replaces = [...WRONG_ELSEWHERE, ...SLOW_ELSEWHERE].includes(config.kernelName);
    if (replaces || tf.getGradient(config.kernelName) == null) tf.registerGradient(config);
  }
  for (const config of [...matMulGradients, ...selectionGradients]) tf.registerGradient(config);
}
