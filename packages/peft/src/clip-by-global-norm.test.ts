import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { clipByGlobalNorm } from './clip-by-global-norm';

describeBackends('clipByGlobalNorm', () => {
  it.each([1, 100])(
    'scales all by min(1, maxNorm / (norm + 1e-6)), maxNorm = %d',
    async (maxNorm) => {
      const [a, b] = [gaussian(12, 1), gaussian(5, 2)];
      const grads = { a: tf.tensor2d(a, [3, 4]), b: tf.tensor1d(b) };
      const clipped = clipByGlobalNorm(grads, maxNorm);
      const norm = Math.sqrt([...a, ...b].reduce((sum, x) => sum + x * x, 0));
      const factor = Math.min(1, maxNorm / (norm + 1e-6));
      expectClose(await clipped.norm.data(), [norm], { rel: 1e-6 }); // float32 sum of 17 squares
      expect(clipped.grads.a!.shape).toEqual([3, 4]);
      expectClose(
        await clipped.grads.a!.data(),
        a.map((x) => x * factor),
        { rel: 1e-6 },
      );
      expectClose(
        await clipped.grads.b!.data(),
        b.map((x) => x * factor),
        { rel: 1e-6 },
      );
      tf.dispose([grads, clipped.grads, clipped.norm] as tf.TensorContainer);
    },
  );

  it('leaves zeros at zero', async () => {
    const grads = { a: tf.zeros([4]) };
    const clipped = clipByGlobalNorm(grads, 1);
    expect([...(await clipped.grads.a!.data())]).toEqual([0, 0, 0, 0]);
    tf.dispose([grads, clipped.grads, clipped.norm] as tf.TensorContainer);
  });

  it('refuses a norm that is not above 0, and leaves nothing behind', async () => {
    expect(() => clipByGlobalNorm({}, 0)).toThrow('maxNorm must be above 0, got maxNorm=0');
    await expectNoLeak(() => {
      const grads = { a: tf.ones([4]) };
      const { grads: clipped, norm } = clipByGlobalNorm(grads, 1);
      tf.dispose([grads, clipped, norm] as tf.TensorContainer);
    });
  });
});
