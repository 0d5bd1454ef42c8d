import { AdamW, lora, outputMatchingLoss, valueAndGrads } from '@mha2mla/peft';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';

/** An adapter learns what a layer lacks. */
export async function use() {
  const w = tf.eye(4);
  const base = {
    inFeatures: 4,
    outFeatures: 4,
    apply: (x: tf.Tensor2D) => tf.matMul(x, w),
    weight: () => tf.clone(w),
    dispose: () => w.dispose(),
  };
  const student = lora(base, { r: 4, loraAlpha: 4, name: 'q_proj' });
  const optimizer = new AdamW(student.parameters);
  const x = tf.eye(4);
  const losses: number[] = [];
  for (let step = 0; step < 40; step++) {
    const loss = () => outputMatchingLoss(student.apply(x), tf.mul(x, 2));
    const { value, grads } = valueAndGrads(loss, student.parameters);
    losses.push((await value.data())[0]!);
    optimizer.step(grads, 0.1);
  }
  return losses.at(-1)! < losses[0]! / 10; // true
}
