import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { concatPacked } from './concat-packed';
import { EVERY_SPEC, NAMED_SPECS } from './every-spec.reference';
import { packedLayout } from './packed-layout';
import type { PackedTensor } from './packed-tensor';
import type { QuantSpec } from './quant-spec';
import { quantize } from './quantize';
import { slicePacked } from './slice-packed';

/** Codes and params; on cpu the concat of nothing with nothing is a plain array. */
const wordsOf = ({ codes, params }: PackedTensor) =>
  [codes, params].map((words) => words && Int32Array.from(words.dataSync()));

/** Tokens in chunks of whole groups, but for the last. */
const appends = fc.record({
  spec: fc.constantFrom(...EVERY_SPEC),
  channels: fc.constantFrom(1, 33, 40),
  heads: fc.integer({ min: 1, max: 2 }),
  chunks: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 5 }),
  rest: fc.integer({ min: 0, max: 4 }),
  seed: fc.nat(),
});

/** Tokens that a row of params holds. */
const unitOf = (spec: QuantSpec) => {
  const { axis, groupSize } = packedLayout('test', spec, [1, 1]);
  return axis === 'channel' ? groupSize : 1;
};

describeBackends('concatPacked and slicePacked', () => {
  test('tokens joined in any chunks give the bytes of all at once, and can be cut again', () => {
    fc.assert(
      fc.property(appends, ({ spec, channels, heads, chunks, rest, seed }) => {
        const unit = unitOf(spec);
        const sizes = [...chunks.map((chunk) => chunk * unit), rest];
        const tokens = sizes.reduce((sum, size) => sum + size, 0);
        const x = tf.tensor(gaussian(heads * tokens * channels, seed), [
          1,
          heads,
          tokens,
          channels,
        ]);
        const parts = tf.split(x, sizes, 2).map((part) => quantize(part, spec));
        const joined = parts.reduce((packed, part) => concatPacked(packed, part));
        const whole = quantize(x, spec);
        expect(joined.shape).toEqual(x.shape);
        expect(joined.codes.shape).toEqual(whole.codes.shape);
        expect(wordsOf(joined)).toEqual(wordsOf(whole));
        let begin = 0;
        for (const [i, size] of sizes.entries()) {
          const slice = slicePacked(joined, begin, begin + size);
          expect(slice.shape).toEqual(parts[i]!.shape);
          expect(wordsOf(slice)).toEqual(wordsOf(parts[i]!));
          begin += size;
        }
      }),
      { numRuns: 100 },
    );
  });

  test('rows of a batch join along their axis', () => {
    for (const spec of EVERY_SPEC) {
      const x = tf.tensor3d(gaussian(2 * 7 * 13, 2), [2, 7, 13]);
      const [a, b] = tf.split(x, 2, 0).map((part) => quantize(part, spec));
      expect(wordsOf(concatPacked(a!, b!, 0))).toEqual(wordsOf(quantize(x, spec)));
    }
  });

  test('words are copied, whatever their bits: nothing is quantized again', () => {
    const token = quantize(tf.tensor2d(gaussian(40, 3), [1, 40]), { method: 'affine', bits: 4 });
    const [codes, params] = wordsOf(token);
    let packed = token;
    for (let i = 1; i < 64; i++) packed = concatPacked(packed, token);
    const repeat = (words: ArrayLike<number>) =>
      Int32Array.from({ length: 64 * words.length }, (_, i) => words[i % words.length]!);
    expect(wordsOf(packed)).toEqual([repeat(codes!), repeat(params!)]);
  });

  test('a slice that ends inside a group of tokens keeps its codes and parameters', () => {
    const spec = { method: 'affine', bits: 3, axis: 'channel', groupSize: 4 } as const;
    const packed = quantize(tf.tensor2d(gaussian(8 * 6, 1), [8, 6]), spec);
    const [codes, params] = wordsOf(packed);
    const [cutCodes, cutParams] = wordsOf(slicePacked(packed, 4, 6));
    expect(cutCodes).toEqual(codes!.slice(4, 6));
    expect(cutParams).toEqual(params!.slice(6));
  });

  test.each(NAMED_SPECS)('%s: leaves no tensors behind', async (_, spec) => {
    const x = tf.zeros([10, 40]);
    await expectNoLeak(() => {
      const packed = quantize(x, spec);
      concatPacked(packed, packed).dispose();
      slicePacked(packed, 5, 7).dispose();
      packed.dispose();
    });
  });

  test('concatPacked refuses tensors that do not fit, with expected and got', () => {
    const pack = (shape: number[], spec: Partial<QuantSpec> = {}) =>
      quantize(tf.zeros(shape), { method: 'affine', bits: 8, groupSize: 4, ...spec } as QuantSpec);
    const a = pack([2, 3, 8]);
    const refuse = (b: PackedTensor, axis: number, message: string) => {
      expect(() => concatPacked(a, b, axis)).toThrow(RangeError);
      expect(() => concatPacked(a, b, axis)).toThrow(message);
    };
    for (const axis of [2, -1, 0.5]) refuse(a, axis, `got axis=${axis}`);
    refuse(pack([2, 3, 8], { bits: 4 }), 1, 'must have bits=8, got bits=4');
    refuse(pack([2, 3, 8], { groupSize: 8 }), 1, 'must have groupSize=4, got groupSize=8');
    refuse(pack([2, 3, 8], { method: 'hqq' }), 1, 'must have method=affine, got method=hqq');
    refuse(pack([2, 3, 8], { axis: 'channel' }), 1, 'must have axis=token, got axis=channel');
    refuse(pack([2, 3, 9]), 1, 'equal but for axis 1, got [2,3,8] and [2,3,9]');
    refuse(pack([1, 3, 8]), 1, 'got [2,3,8] and [1,3,8]');
    refuse(pack([3, 8]), 1, 'got [2,3,8] and [3,8]');
    const vector = pack([8]);
    expect(() => concatPacked(vector, vector, 0)).toThrow('has no axis of tokens');
    const open = pack([2, 3, 8], { axis: 'channel' });
    expect(() => concatPacked(open, open)).toThrow('got 3 tokens in groups of 4');
  });

  test('slicePacked refuses what is not there', () => {
    const packed = quantize(tf.zeros([6, 8]), { method: 'int8' });
    for (const [begin, end] of [
      [-1, 2],
      [3, 2],
      [0, 7],
      [0.5, 2],
      [0, Number.NaN],
    ] as const) {
      const message = `0 <= begin <= end <= 6, got ${begin} and ${end}`;
      expect(() => slicePacked(packed, begin, end)).toThrow(message);
    }
    const vector = quantize(tf.zeros([8]), { method: 'int8' });
    expect(() => slicePacked(vector, 0, 0)).toThrow('has no axis of tokens');
    const spec = { method: 'affine', bits: 8, axis: 'channel', groupSize: 4 } as const;
    const grouped = quantize(tf.zeros([6, 8]), spec);
    expect(() => slicePacked(grouped, 2, 4)).toThrow('a group of 4, got begin=2');
  });
});

test('tensors packed on cpu join on wasm, while its heap grows', async () => {
  const tokens = 2 ** 15; // 32 MiB of words each, twice what the heap starts with
  await tf.setBackend('cpu');
  const halves = [1, 2].map((value) => quantize(tf.fill([tokens, 512], value), { method: 'half' }));
  await tf.setBackend('wasm');
  const joined = concatPacked(halves[0]!, halves[1]!);
  const codes = await joined.codes.data();
  const wrong = codes.findIndex((word, i) => word !== (i < tokens * 256 ? 0x3c003c00 : 0x40004000));
  expect(wrong).toBe(-1);
  for (const packed of [...halves, joined]) packed.dispose();
});
