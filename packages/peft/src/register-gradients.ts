/**
 * TensorFlow.js keeps the gradients of its kernels apart from the kernels, and the Node build of
 * tfjs-core registers none ("gradient function not found for BatchMatMul"). These are the gradients
 * that training a decoder needs, written for speed on wasm and registered on the engine of the
 * application (its registry is shared by all copies). Gradients that exist are left alone, except
 * those of the matrix product and of gather, which are slow or missing kernels on wasm.
 */
import * as tf from '@tensorflow/tfjs-core';
import { binaryGradients } from './gradients/binary';
import { matMulGradients } from './gradients/mat-mul';
import { reductionGradients } from './gradients/reduction';
import { selectionGradients } from './gradients/selection';
import { shapeGradients } from './gradients/shape';
import { sliceGradients } from './gradients/slice';
import { unaryGradients } from './gradients/unary';

let registered = false;

/**
 * Register the gradients of the kernels that training uses. Done once: later calls return at once.
 * `valueAndGrads` calls it; call it yourself before `tf.grads` or `tf.variableGrads`.
 */
export function registerGradients(): void {
  if (registered) return;
  registered = true;
  const own = [
    ...binaryGradients,
    ...reductionGradients,
    ...shapeGradients,
    ...sliceGradients,
    ...unaryGradients,
  ];
  for (const config of own) {
    if (tf.getGradient(config.kernelName) == null) tf.registerGradient(config);
  }
  for (const config of [...matMulGradients, ...selectionGradients]) tf.registerGradient(config);
}
