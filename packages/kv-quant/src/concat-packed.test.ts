import { describeBackends, expectClose, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { concatPacked } from './concat-packed';
import { dequantizeAffine } from './dequantize-affine';
import type { PackedBits } from './packed-layout';
import type { PackedTensor } from './packed-tensor';
import { quantizeAffine } from './quantize-affine';

/** Codes and params; on cpu the concat of nothing with nothing is a plain array. */
const wordsOf = ({ codes, params }: PackedTensor) =>
  [codes, params].map((words) => words && Int32Array.from(words.dataSync()));

const appends = fc.record({
  bits: fc.constantFrom<PackedBits[]>(4, 8, 16),
  groupSize: fc.constantFrom(5, 8, 32),
  channels: fc.constantFrom(1, 33, 40),
  heads: fc.integer({ min: 1, max: 2 }),
  chunks: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 5 }),
  seed: fc.nat(),
});

describeBackends('concatPacked', () => {
  test('tokens appended in any chunks give the bytes of all at once', () => {
    fc.assert(
      fc.property(appends, ({ channels, heads, chunks, seed, ...options }) => {
        const tokens = chunks.reduce((sum, chunk) => sum + chunk, 0);
        const shape = [1, heads, tokens, channels];
        const x = tf.tensor(gaussian(heads * tokens * channels, seed), shape);
        const parts = tf.split(x, chunks, 2).map((part) => quantizeAffine(part, options));
        const joined = parts.reduce((packed, part) => concatPacked(packed, part, 2));
        const whole = quantizeAffine(x, options);
        expect(joined.shape).toEqual(shape);
        expect(joined.codes.shape).toEqual(whole.codes.shape);
        expect(wordsOf(joined)).toEqual(wordsOf(whole));
      }),
      { numRuns: 100 },
    );
  });

  test('tokens appended one by one give the bytes of all at once', () => {
    const x = tf.tensor3d(gaussian(2 * 20 * 70, 2), [2, 20, 70]);
    for (const bits of [4, 8, 16] as const) {
      const options = { bits, groupSize: 32 };
      const joined = tf
        .split(x, 20, 1)
        .map((token) => quantizeAffine(token, options))
        .reduce((packed, token) => concatPacked(packed, token, 1));
      expect(wordsOf(joined)).toEqual(wordsOf(quantizeAffine(x, options)));
    }
  });

  test('words are copied, whatever their bits: nothing is quantized again', async () => {
    const token = quantizeAffine(tf.tensor2d(gaussian(40, 3), [1, 40]), { bits: 4, groupSize: 8 });
    const [codes, params] = wordsOf(token);
    let packed = token;
    for (let i = 1; i < 64; i++) packed = concatPacked(packed, token, 0);
    const repeat = (words: ArrayLike<number>) =>
      Int32Array.from({ length: 64 * words.length }, (_, i) => words[i % words.length]!);
    expect(wordsOf(packed)).toEqual([repeat(codes!), repeat(params!)]);
    const first = await dequantizeAffine(token).data();
    expectClose((await dequantizeAffine(packed).data()).slice(-40), first, {});
  });

  test('16 bits have no groups, so any group sizes join', () => {
    const [a, b] = [4, 8].map((groupSize) =>
      quantizeAffine(tf.ones([1, 3]), { bits: 16, groupSize }),
    );
    expect(concatPacked(a!, b!, 0).shape).toEqual([2, 3]);
  });

  test('leaves no tensors behind', async () => {
    const x = tf.zeros([3, 40]);
    await expectNoLeak(() => {
      for (const bits of [4, 8, 16] as const) {
        const packed = quantizeAffine(x, { bits, groupSize: 32 });
        concatPacked(packed, packed, 0).dispose();
        packed.dispose();
      }
    });
  });

  test('refuses tensors that do not fit, with expected and got', () => {
    const pack = (shape: number[], bits: PackedBits = 8, groupSize = 4) =>
      quantizeAffine(tf.zeros(shape), { bits, groupSize });
    const a = pack([2, 3, 8]);
    const refuse = (b: PackedTensor, axis: number, message: string) => {
      expect(() => concatPacked(a, b, axis)).toThrow(RangeError);
      expect(() => concatPacked(a, b, axis)).toThrow(message);
    };
    for (const axis of [2, -1, 0.5]) refuse(a, axis, `got axis=${axis}`);
    refuse(pack([2, 3, 8], 4), 1, 'must have bits=8, groupSize=4, got bits=4, groupSize=4');
    refuse(pack([2, 3, 8], 8, 8), 1, 'got bits=8, groupSize=8');
    refuse(pack([2, 3, 9]), 1, 'equal but for axis 1, got [2,3,8] and [2,3,9]');
    refuse(pack([1, 3, 8]), 1, 'got [2,3,8] and [1,3,8]');
    refuse(pack([3, 8]), 1, 'got [2,3,8] and [3,8]');
    const vector = pack([8]);
    expect(() => concatPacked(vector, vector, 0)).toThrow('has no axis of tokens');
  });
});

test('tensors packed on cpu join on wasm, while its heap grows', async () => {
  const tokens = 2 ** 15; // 32 MiB of words each, twice what the heap starts with
  await tf.setBackend('cpu');
  const halves = [1, 2].map((value) =>
    quantizeAffine(tf.fill([tokens, 512], value), { bits: 16, groupSize: 1 }),
  );
  await tf.setBackend('wasm');
  const joined = concatPacked(halves[0]!, halves[1]!, 0);
  const codes = await joined.codes.data();
  const wrong = codes.findIndex((word, i) => word !== (i < tokens * 256 ? 0x3c003c00 : 0x40004000));
  expect(wrong).toBe(-1);
  for (const packed of [...halves, joined]) packed.dispose();
});
