import { describeBackends, expectNoLeak, gaussian } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesPerToken } from './bytes-per-token';
import { EVERY_SPEC, NAMED_SPECS } from './every-spec.reference';
import { packedLayout } from './packed-layout';
import { PackedTensor } from './packed-tensor';
import type { QuantSpec } from './quant-spec';
import { QuantizedCache, type QuantizedCacheOptions } from './quantized-cache';
import type { StaticSpec } from './static-spec';

const [B, HEADS, WIDTH] = [2, 3, 10];

const STATIC: StaticSpec = {
  method: 'static',
  bands: [
    { bits: 4, channels: 7 },
    { bits: 2, channels: 3 },
  ],
  scales: Float32Array.from(gaussian(HEADS * WIDTH, 8), (v) => 0.1 + v * v),
  zeros: Float32Array.from(gaussian(HEADS * WIDTH, 9)),
};
const SPECS: readonly (readonly [string, QuantSpec])[] = [...NAMED_SPECS, ['static', STATIC]];

function tokens(count: number, seed = 1): tf.Tensor4D {
  return tf.tensor4d(gaussian(B * HEADS * count * WIDTH, seed), [B, HEADS, count, WIDTH]);
}

function filled(options: QuantizedCacheOptions, x: tf.Tensor4D, pieces = [x.shape[2]]) {
  const cache = new QuantizedCache(options);
  let begin = 0;
  for (const size of pieces) {
    // Ranges, since tf.split refuses an axis of 0.
    tf.tidy(() => cache.append(tf.slice(x, [0, 0, begin, 0], [-1, -1, size, -1])));
    begin += size;
  }
  return cache;
}

/** Every word and value that is held, and where. */
function held({ parts }: QuantizedCache) {
  return parts.map((part) => {
    const tensors = part instanceof PackedTensor ? [part.codes, part.params] : [part];
    return [part.shape, ...tensors.map((tensor) => tensor && [...tensor.dataSync()])];
  });
}

const dataOf = ({ parts }: QuantizedCache) =>
  parts.map((part) => (part instanceof PackedTensor ? part.codes : part).dataId);

/** All that is restored, [B, heads, T, width]. */
function restored(cache: QuantizedCache): Float32Array {
  return tf.tidy(() => {
    const parts = cache.read();
    return parts.length === 0
      ? new Float32Array(0)
      : (tf.concat(parts, 2).dataSync() as Float32Array);
  });
}

const unitOf = (spec: QuantSpec | undefined) => {
  if (!spec) return 1;
  if (spec.method === 'static') return 1;
  const { axis, groupSize } = packedLayout('test', spec, [1, 1]);
  return axis === 'channel' ? groupSize : 1;
};

const settings = fc.record({
  spec: fc.constantFrom(undefined, STATIC, ...EVERY_SPEC),
  residualLength: fc.constantFrom(0, 1, 6),
  blocks: fc.integer({ min: 1, max: 3 }), // groups, or tokens, a block
  pieces: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 6 }),
  seed: fc.nat(),
});

const optionsOf = ({
  spec,
  residualLength,
  blocks,
}: typeof settings extends fc.Arbitrary<infer T> ? T : never) => ({
  spec,
  residualLength,
  blockLength: blocks * unitOf(spec),
});

const sum = (list: number[]) => list.reduce((total, value) => total + value, 0);

describeBackends('QuantizedCache', () => {
  test('any chunking of the same vectors holds the same bytes', () => {
    fc.assert(
      fc.property(settings, (setting) =>
        tf.tidy(() => {
          const options = optionsOf(setting);
          const x = tokens(sum(setting.pieces), setting.seed);
          const pieces = filled(options, x, setting.pieces);
          const whole = filled(options, x);
          const single = filled(options, x, new Array<number>(x.shape[2]).fill(1));
          expect(held(pieces)).toEqual(held(whole));
          expect(held(single)).toEqual(held(whole));
          for (const cache of [pieces, whole, single]) cache.dispose();
        }),
      ),
      { numRuns: 60 },
    );
  });

  test('the newest tokens are exact, and so many are coded that groups are whole', () => {
    fc.assert(
      fc.property(settings, (setting) => {
        const { spec, residualLength } = setting;
        const x = tokens(sum(setting.pieces), setting.seed);
        const cache = filled(optionsOf(setting), x, setting.pieces);
        const unit = unitOf(spec);
        const coded = sum(
          cache.parts.map((part) => (part instanceof PackedTensor ? part.shape.at(-2)! : 0)),
        );
        const expected = Math.floor(Math.max(0, cache.length - residualLength) / unit) * unit;
        expect(coded).toBe(spec ? expected : 0);
        const [from, count] = [
          [0, 0, coded, 0],
          [-1, -1, x.shape[2] - coded, -1],
        ] as const;
        const newest = tf.slice(x, [...from], [...count]).dataSync();
        const found = tf.tensor(restored(cache), x.shape);
        expect(tf.slice(found, [...from], [...count]).dataSync()).toEqual(newest);
        cache.dispose();
      }),
      { numRuns: 60 },
    );
  });

  test('a rewind forgets the newest tokens and touches nothing else', () => {
    fc.assert(
      fc.property(settings, fc.double({ min: 0, max: 1, noNaN: true }), (setting, share) => {
        const options = optionsOf(setting);
        const x = tokens(sum(setting.pieces), setting.seed);
        const cache = filled(options, x, setting.pieces);
        const before = tf.tensor(restored(cache), x.shape);
        const length = Math.floor(share * cache.length);
        const prefix = tf.slice(x, [0, 0, 0, 0], [-1, -1, length, -1]) as tf.Tensor4D;
        const fresh = filled(options, prefix);
        const result = cache.rewind(length);
        // Exact blocks that were joined stay one.
        const state = setting.spec ? held : restored;
        expect(result.exact + result.coded).toBe(length);
        expect(cache.length).toBe(length);
        const kept = tf.slice(before, [0, 0, 0, 0], [-1, -1, length, -1]).dataSync();
        expect(restored(cache)).toEqual(kept);
        if (result.early === 0) expect(state(cache)).toEqual(state(fresh));
        else expect(result.coded).toBeGreaterThan(0);
        // What follows is as if it had followed at once, where nothing was coded early.
        const more = tokens(8, setting.seed + 1);
        cache.append(more);
        fresh.append(more);
        expect(cache.length).toBe(length + 8);
        if (result.early === 0) expect(state(cache)).toEqual(state(fresh));
        const again = tf.tensor(restored(cache), [B, HEADS, length + 8, WIDTH]);
        const old = tf.slice(again, [0, 0, 0, 0], [-1, -1, result.coded, -1]).dataSync();
        expect(old).toEqual(tf.slice(before, [0, 0, 0, 0], [-1, -1, result.coded, -1]).dataSync());
        cache.dispose();
        fresh.dispose();
      }),
      { numRuns: 60 },
    );
  });

  test('a rewind says what it keeps', () => {
    const grouped = { method: 'affine', bits: 4, groupSize: 4, axis: 'channel' } as const;
    const alone = { method: 'affine', bits: 4 } as const;
    const rewound = (spec: QuantSpec, residualLength: number, length: number) =>
      filled({ spec, residualLength }, tokens(20)).rewind(length);
    expect(rewound(alone, 6, 17)).toEqual({ exact: 3, coded: 14, early: 3 });
    expect(rewound(alone, 6, 10)).toEqual({ exact: 0, coded: 10, early: 6 });
    expect(rewound(alone, 0, 10)).toEqual({ exact: 0, coded: 10, early: 0 });
    expect(rewound(grouped, 2, 18)).toEqual({ exact: 2, coded: 16, early: 0 });
    expect(rewound(grouped, 2, 10)).toEqual({ exact: 0, coded: 10, early: 2 });
    expect(rewound(grouped, 2, 0)).toEqual({ exact: 0, coded: 0, early: 0 });
  });

  test.each(SPECS)('%s: forks go on alone, and what the parent holds stays', (_, spec) => {
    const options = { spec, residualLength: 2, blockLength: 2 * unitOf(spec) };
    const parent = filled(options, tokens(14));
    const before = held(parent);
    const [a, b] = [parent.fork(), parent.fork()];
    expect(dataOf(a)).toEqual(dataOf(parent)); // shared
    a.append(tokens(9, 2));
    b.rewind(5);
    expect(held(parent)).toEqual(before);
    const alone = filled(options, tokens(14));
    parent.dispose();
    alone.append(tokens(9, 2));
    expect(held(a)).toEqual(held(alone));
    expect(b.length).toBe(5);
    for (const cache of [a, b, alone]) cache.dispose();
  });

  test.each(SPECS)('%s: counts the bytes of tensors and those of the format', (_, spec) => {
    const x = tokens(23);
    const before = tf.memory().numBytes;
    const cache = filled({ spec, residualLength: 3, blockLength: 10 }, x);
    const { nominal, allocated } = cache.bytes;
    expect(allocated.total).toBe(tf.memory().numBytes - before);
    const bits = spec.method === 'static' ? 3.4 : packedLayout('test', spec, [1, WIDTH]).bits; // (7 x 4 + 3 x 2) / 10
    const vectors = 20 * B * HEADS; // 20 of 23 tokens are coded, whole groups
    expect(nominal.exact).toBe(4 * 3 * B * HEADS * WIDTH);
    expect(nominal.codes).toBe((vectors * WIDTH * bits) / 8);
    expect(nominal.params).toBeCloseTo(allocated.params, 8);
    const formal = vectors * bytesPerToken(spec, WIDTH);
    expect(allocated.codes + allocated.params).toBeCloseTo(formal, 8);
    expect(nominal.total).toBeLessThanOrEqual(allocated.total);
    cache.dispose();
    expect(tf.memory().numBytes).toBe(before);
  });

  test('appending a token copies the open block and the window, not the long cache', () => {
    const cache = filled(
      { spec: { method: 'int8' }, residualLength: 4, blockLength: 16 },
      tokens(500),
    );
    const sealed = cache.parts.slice(0, 30) as PackedTensor[];
    cache.append(tokens(1));
    expect(cache.parts.slice(0, 30)).toEqual(sealed);
    expect(cache.parts.slice(0, 30).every((part, i) => part === sealed[i])).toBe(true);
    cache.dispose();
  });

  test('sealed blocks of exact vectors are joined, however they came, and rewind and fork as others', () => {
    const x = tokens(45);
    const lengthsOf = (cache: QuantizedCache) => cache.parts.map(({ shape }) => shape.at(-2));
    const [whole, pieces] = [[45], [17, 1, 27]].map((by) => filled({ blockLength: 2 }, x, by));
    const fork = whole!.fork();
    for (const cache of [whole!, pieces!]) {
      expect(lengthsOf(cache)).toEqual([16, 16, 2, 2, 2, 2, 2, 2, 1]);
      expect(restored(cache)).toEqual(x.dataSync());
    }
    whole!.rewind(21);
    whole!.append(tf.slice(x, [0, 0, 21, 0], [-1, -1, 24, -1]));
    expect(restored(whole!)).toEqual(x.dataSync());
    expect(restored(fork)).toEqual(x.dataSync());
    const huge = filled({ blockLength: 1 }, tf.zeros([1, 1, 8, 2 ** 22])); // 16 MiB a block
    expect(lengthsOf(huge)).toEqual(new Array(8).fill(1));
    for (const cache of [whole!, pieces!, fork, huge]) cache.dispose();
  });

  test('leaves nothing behind, nor in a tidy of the caller', () =>
    expectNoLeak(() => {
      for (const spec of [undefined, STATIC, ...EVERY_SPEC]) {
        const cache = new QuantizedCache({ spec, residualLength: 2, blockLength: 5 });
        tf.tidy(() => cache.append(tokens(13)));
        tf.tidy(() => cache.append(tokens(2)));
        tf.tidy(() => cache.append(tokens(40)));
        tf.tidy(() => void cache.read());
        tf.tidy(() => void cache.rewind(7));
        cache.fork().dispose();
        cache.dispose();
      }
    }));
});

describe('QuantizedCache', () => {
  test('refuses lengths and vectors that do not fit, and stays as it was', () => {
    const make = (options: QuantizedCacheOptions) => () => new QuantizedCache(options);
    expect(make({ residualLength: -1 })).toThrow('whole number from 0, got -1');
    for (const blockLength of [0, 1.5]) {
      expect(make({ blockLength })).toThrow(`positive integer, got ${blockLength}`);
    }
    const spec = { method: 'affine', bits: 2, axis: 'channel' } as const;
    expect(make({ spec, blockLength: 48 })).toThrow('a multiple of groupSize=32, got 48');
    expect(make({ spec: { ...spec, bits: 1 as 2 } })).toThrow('got bits=1');
    const cache = filled({ spec }, tokens(3));
    expect(() => cache.append(tf.zeros([B, HEADS, 1, WIDTH + 1]))).toThrow(
      'must be float32 [2,3,0,10] but for the tokens, got float32 [2,3,1,11]',
    );
    expect(() => cache.append(tf.zeros([B, HEADS, 1, WIDTH], 'int32'))).toThrow('got int32');
    expect(() => new QuantizedCache().append(tf.zeros([3]))).toThrow('got float32 [3]');
    for (const length of [-1, 4, 0.5]) {
      expect(() => cache.rewind(length)).toThrow(`from 0 to 3, got ${length}`);
    }
    expect(cache.length).toBe(3);
    cache.dispose();
  });
});
