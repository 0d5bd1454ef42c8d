import { nodeStore } from '@mha2mla/checkpoint/node';
import {
  describeBackends,
  expectClose,
  expectNoLeak,
  fixture,
  readSafetensors,
} from '@mha2mla/testing';
import type * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { VisionEncoder } from '../family';
import type { MediaInputs } from '../model-inputs';
import { openVlm } from '../open-vlm';
import { llavaNext } from './llava-next-family';

const NEXT = 'fixtures/hf/llava_next';
const SQUARE = 3 * 56 * 56;

function golden(prompt: string) {
  const tensors = readSafetensors(fixture(`${NEXT}/goldens/${prompt}.safetensors`));
  const { data, shape } = tensors.get('pixel_values')!;
  const inputs: MediaInputs = {
    pixelValues: { data: data as Float32Array, shape },
    imageSizes: tensors.get('image_sizes')!.data as Int32Array,
  };
  return { tensors, inputs };
}

async function load(): Promise<VisionEncoder> {
  const store = await nodeStore(fixture(`${NEXT}/checkpoint`));
  const { config, weights } = await openVlm(store, { families: [llavaNext] });
  const vision = await llavaNext.loadVision(config, weights);
  await store.close?.();
  return vision;
}

describeBackends('vision encoder of LLaVA-NeXT', () => {
  let vision: VisionEncoder;
  const { inputs } = golden('p1');
  beforeAll(async () => {
    vision = await load();
  });
  afterAll(() => vision.dispose());

  async function features(media: MediaInputs): Promise<Float32Array> {
    const { images } = vision.encode(media);
    const values = (await images!.data()) as Float32Array;
    images!.dispose();
    return values;
  }

  test.each(['p0', 'p1'])('%s: every intermediate equals the original', async (prompt) => {
    const { tensors, inputs } = golden(prompt);
    const seen = new Map<string, { shape: number[]; values: Promise<Float32Array> }>();
    const observe = (name: string, tensor: tf.Tensor) => {
      seen.set(name, { shape: tensor.shape, values: tensor.data() as Promise<Float32Array> });
    };
    vision.encode(inputs, { observe }).images!.dispose();
    const names = [...tensors.keys()].filter((name) => /^(vision|projector)/.test(name));
    expect([...seen.keys()].sort()).toEqual(names.sort());
    for (const [name, { shape, values }] of seen) {
      const expected = tensors.get(name)!;
      expect(shape, name).toEqual(expected.shape);
      // Float32 on both sides, summed in other orders.
      expectClose(await values, expected.data, { abs: 1e-4 });
    }
  });

  test('what stands in the place of crops that a picture has not is never seen', async () => {
    const data = inputs.pixelValues!.data.slice();
    data.fill(Number.NaN, 4 * SQUARE, 5 * SQUARE); // of the first picture, which has 4 crops
    const poisoned = { ...inputs, pixelValues: { ...inputs.pixelValues!, data } };
    expect(await features(poisoned)).toEqual(await features(inputs));
  });

  test('pictures that are encoded together have the features that each has alone', async () => {
    const alone = [0, 1].map((i) => ({
      pixelValues: {
        data: inputs.pixelValues!.data.slice(i * 5 * SQUARE, (i + 1) * 5 * SQUARE),
        shape: [1, 5, 3, 56, 56],
      },
      imageSizes: inputs.imageSizes!.slice(i * 2, i * 2 + 2),
    }));
    const apart = [...(await features(alone[0]!)), ...(await features(alone[1]!))];
    expectClose(await features(inputs), apart, { abs: 1e-5 }); // sums in another order
  });

  test('pixels and sizes that do not suit are refused with both', () => {
    const encode = (change: MediaInputs) => () => vision.encode({ ...inputs, ...change });
    const { pixelValues, imageSizes } = inputs;
    const { data } = pixelValues!;
    const sizes = (...values: number[]) => ({ imageSizes: Int32Array.from(values) });
    expect(encode({ imageSizes: undefined })).toThrow(RangeError);
    expect(encode({ imageSizes: undefined })).toThrow(/height and width of 2 .*got 0 numbers/);
    expect(encode({ imageSizes: imageSizes!.slice(0, 2) })).toThrow(/got 2 numbers/);
    expect(encode(sizes(0, 5, 5, 5))).toThrow(/in 1\.\.1048576, got 0 x 5/);
    expect(encode(sizes(5, 5, 2 ** 21, 5))).toThrow(/got 2097152 x 5/);
    const shaped = (shape: number[], values = data) =>
      encode({ pixelValues: { data: values, shape } });
    expect(shaped([10, 3, 56, 56])).toThrow(/\[pictures, crops, 3, 56, 56\], got \[10,3,56,56\]/);
    expect(shaped([2, 5, 3, 56, 57])).toThrow(/got \[2,5,3,56,57\]/);
    expect(shaped([2, 5, 3, 56, 56], data.slice(1))).toThrow(/must hold 94080 values, got 94079/);
    expect(shaped([2, 1, 3, 56, 56], data.slice(0, 2 * SQUARE))).toThrow(/have 4 crops, got 1/);
  });

  test('load, encode and dispose leave nothing behind, an error neither', () =>
    expectNoLeak(async () => {
      const own = await load();
      own.encode(inputs).images!.dispose();
      expect(() => own.encode({ ...inputs, imageSizes: undefined })).toThrow(RangeError);
      own.dispose();
    }));

  test('loading that fails at the newline leaves nothing behind', () =>
    expectNoLeak(async () => {
      const store = await nodeStore(fixture(`${NEXT}/checkpoint`));
      const { config, weights } = await openVlm(store, { families: [llavaNext] });
      const read = weights.read.bind(weights);
      weights.read = async (name, shape) => {
        if (name === 'image_newline') throw new Error('enough');
        return read(name, shape);
      };
      await expect(llavaNext.loadVision(config, weights)).rejects.toThrow('enough');
      await store.close?.();
    }));
});
