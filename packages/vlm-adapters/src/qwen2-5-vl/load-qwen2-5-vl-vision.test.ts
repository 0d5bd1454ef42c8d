import { nodeStore } from '@mha2mla/checkpoint/node';
import { describeBackends, expectClose, expectNoLeak } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { VisionEncoder } from '../family';
import type { MediaInputs } from '../model-inputs';
import { openVlm } from '../open-vlm';
import { qwen25Vl } from './qwen2-5-vl-family';
import { CHECKPOINT, qwenGolden } from './testing/qwen-golden';

const VALUES = 1176;

async function load(): Promise<VisionEncoder> {
  const store = await nodeStore(CHECKPOINT);
  const { config, weights } = await openVlm(store, { families: [qwen25Vl] });
  const vision = await qwen25Vl.loadVision(config, weights);
  await store.close?.();
  return vision;
}

describeBackends('vision encoder of Qwen2.5-VL', () => {
  let vision: VisionEncoder;
  beforeAll(async () => {
    vision = await load();
  });
  afterAll(() => vision.dispose());

  /** Features of all pictures, then of all videos. */
  async function features(media: MediaInputs): Promise<number[]> {
    const { images, videos } = vision.encode(media);
    const values = [...((await images?.data()) ?? []), ...((await videos?.data()) ?? [])];
    tf.dispose([images, videos].filter((x) => x !== undefined));
    return values;
  }

  test.each(['p0', 'p1', 'p2', 'p3'])(
    '%s: every intermediate equals the original',
    async (name) => {
      const { tensors, inputs } = qwenGolden(name);
      const seen = new Map<string, { shape: number[]; values: Promise<Float32Array> }>();
      const observe = (part: string, tensor: tf.Tensor) => {
        seen.set(part, { shape: tensor.shape, values: tensor.data() as Promise<Float32Array> });
      };
      tf.dispose(vision.encode(inputs, { observe }));
      const names = [...tensors.keys()].filter((part) => /^(video_)?vision/.test(part));
      expect([...seen.keys()].sort()).toEqual(names.sort());
      for (const [part, { shape, values }] of seen) {
        const golden = tensors.get(part)!;
        expect(shape, part).toEqual(golden.shape);
        // Float32 on both sides, summed in other orders.
        expectClose(await values, golden.data, { abs: 1e-4 });
      }
    },
  );

  test('pictures that are encoded together have the features that each has alone', async () => {
    const { inputs } = qwenGolden('p1');
    const { data } = inputs.pixelValues!;
    const [t, h, w] = inputs.imageGridThw!;
    const rows = t! * h! * w!;
    const part = (values: Float32Array, thw: Int32Array): MediaInputs => ({
      pixelValues: { data: values, shape: [values.length / VALUES, VALUES] },
      imageGridThw: thw,
    });
    const apart = [
      ...(await features(part(data.slice(0, rows * VALUES), inputs.imageGridThw!.slice(0, 3)))),
      ...(await features(part(data.slice(rows * VALUES), inputs.imageGridThw!.slice(3)))),
    ];
    expectClose(await features(inputs), apart, { abs: 1e-5 }); // sums in another order
  });

  test('the steps of a video are pictures: each has the features that it has alone', async () => {
    const { inputs } = qwenGolden('p3');
    const { pixelValuesVideos, videoGridThw } = inputs;
    const [t, h, w] = videoGridThw!;
    const asPictures = Int32Array.from([...Array(t)].flatMap(() => [1, h!, w!]));
    const pictures = { pixelValues: pixelValuesVideos!, imageGridThw: asPictures };
    const { pixelValues, imageGridThw, ...video } = inputs;
    expectClose(await features(video), await features(pictures), { abs: 1e-5 });
  });

  test('media that are not there have no features', () => {
    expect(vision.encode(qwenGolden('p4').inputs)).toEqual({});
  });

  test('pixels and grids that do not suit are refused before anything is made of them', () => {
    const { inputs } = qwenGolden('p3');
    const before = tf.memory().numTensors;
    const encode = (change: Partial<MediaInputs>) => () => vision.encode({ ...inputs, ...change });
    expect(encode({ imageGridThw: undefined })).toThrow(/image pixels must be \[0, 1176\]/);
    expect(encode({ videoGridThw: undefined })).toThrow(/video pixels must be \[0, 1176\]/);
    expect(encode({ imageGridThw: Int32Array.of(1, 4, 4) })).toThrow(/\[16, 1176\].*\[24,1176\]/);
    expect(encode({ imageGridThw: Int32Array.of(1, 3, 8) })).toThrow(/multiples of 2/);
    const { data } = inputs.pixelValues!;
    expect(encode({ pixelValues: { data, shape: [1, 24, VALUES] } })).toThrow(/\[1,24,1176\]/);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('load, encode and dispose leave nothing behind', () =>
    expectNoLeak(async () => {
      const own = await load();
      tf.dispose(own.encode(qwenGolden('p3').inputs));
      own.dispose();
    }));
});
