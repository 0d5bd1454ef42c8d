import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { concatPacked, dequantize, quantize } from '../index';

/** A backend that has no kernel at all, as WebGPU has none of ours. */
class Bare extends tf.KernelBackend {
  override write() {
    return {};
  }
  override numDataIds() {
    return 0;
  }
  override dispose() {}
}

describe('a backend without the kernels', () => {
  const options = { method: 'affine', bits: 8, groupSize: 4 } as const;

  beforeAll(() => {
    tf.registerBackend('bare', () => new Bare());
  });

  afterAll(() => tf.removeBackend('bare'));

  test('is refused by name, unless it registers them', async () => {
    await tf.setBackend('cpu');
    const x = tf.ones([2, 4]);
    const packed = quantize(x, options);
    await tf.setBackend('bare');
    expect(() => quantize(x, options)).toThrow('kernel PackAffine must be registered');
    expect(() => dequantize(packed)).toThrow('kernel UnpackAffine must be registered');
    expect(() => concatPacked(packed, packed, 0)).toThrow('got backend=bare');
    const seen: tf.NamedAttrMap[] = [];
    tf.registerKernel({
      kernelName: 'UnpackAffine',
      backendName: 'bare',
      kernelFunc: ({ inputs, attrs }) => {
        seen.push(attrs!);
        return { dataId: inputs.codes!.dataId, shape: [2, 4], dtype: 'float32' };
      },
    });
    expect(dequantize(packed).shape).toEqual([2, 4]);
    expect(seen).toEqual([
      {
        method: 'affine',
        bits: 8,
        axis: 'token',
        groupSize: 4,
        rotation: 'none',
        channels: 4,
        tokens: 2,
        words: 1,
        paramRows: 2,
        paramWidth: 1,
      },
    ]);
    tf.unregisterKernel('UnpackAffine', 'bare');
    await tf.setBackend('cpu');
  });
});
