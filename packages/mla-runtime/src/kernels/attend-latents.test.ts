/** Absorbed decode on the device, its three programs in a row, against the composed ops on wasm. */
import { dequantize, QuantizedCache, type QuantSpec, quantize } from '@mha2mla/kv-quant';
import { describeWebGpu, expectClose, gaussian, openWebGpu } from '@mha2mla/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { absorbedAttention } from '../attention/absorbed-attention';
import { absorbWeights, disposeAbsorbed } from '../attention/absorbed-weights';
import { denseProjection } from '../dense-projection';
import { runWgsl } from '../testing/run-wgsl';
import { placeWords } from '../webgpu/latent-place';
import {
  keyDim,
  keyVectors,
  type LatentRoom,
  type LatentShape,
  latentLayout,
  queryLayout,
} from '../webgpu/latent-shape';
import { F32_FORM, type VectorForm, vectorForm } from '../webgpu/vector-form';
import { stepWords } from '../webgpu/wgsl-program';
import { absorbQuery } from './absorb-query';
import { attendLatents, CHUNK, mostChunks, partialSize } from './attend-latents';
import { expandValues } from './expand-values';

const SHAPE: LatentShape = {
  caches: 'latents',
  heads: 4,
  keyHeads: 2,
  groups: 1,
  ropeDim: 4,
  nopeDim: 4,
  valueDim: 8,
  widths: [12, 10],
  latentForms: [F32_FORM, F32_FORM],
  keyForms: [F32_FORM, F32_FORM],
  biasApart: [false, false],
  tail: 'none',
};
const roomOf = (...capacities: number[]): LatentRoom => ({
  capacities,
  tails: capacities.map(() => 0),
});
const ROOM = roomOf(300, 600);
const SCALE = 1 / Math.sqrt(8);

interface Case {
  name: string;
  shape?: Partial<LatentShape>;
  room?: LatentRoom;
  lengths: number[];
  /** Which segments have biases of keys and of values. */
  bias?: boolean[];
  /** Factor of the query, and so of the scores. */
  spread?: number;
  /** How latents and keys are stored; f32 if not given. */
  spec?: QuantSpec;
}

/** Keys and values, of heads that turn half of their dims. */
const VALUES: Partial<LatentShape> = { caches: 'values', groups: 2, widths: [8] };

const CASES: Case[] = [
  { name: 'one token', lengths: [0, 1] },
  { name: 'both segments', lengths: [5, 3] },
  { name: 'several chunks, none of them full', lengths: [257, 513] },
  { name: 'full chunks', lengths: [256, 512] },
  { name: 'groups', shape: { groups: 2 }, lengths: [7, 260] },
  { name: 'scores of hundreds, over chunks', lengths: [300, 300], spread: 60 },
  { name: 'biases', lengths: [30, 2], bias: [true, true] },
  { name: 'a bias of vision alone', lengths: [3, 20], bias: [true, false] },
  { name: 'keys without their bias', shape: { biasApart: [false, true] }, lengths: [9, 260] },
  { name: 'one segment', shape: { widths: [12] }, room: roomOf(40), lengths: [33] },
  { name: 'no rope dims', shape: { ropeDim: 0, nopeDim: 8 }, lengths: [9, 9] },
  { name: 'no nope dims', shape: { ropeDim: 8, nopeDim: 0 }, lengths: [9, 9], bias: [true, true] },
  { name: 'latents of width 0', shape: { widths: [0, 0] }, lengths: [4, 4], bias: [true, true] },
  {
    name: 'wide values and latents',
    shape: { widths: [70, 65], valueDim: 70 },
    lengths: [3, 9],
  },
  {
    name: '20,000 tokens',
    shape: { widths: [4, 4], valueDim: 2 },
    room: roomOf(4096, 16_384),
    lengths: [4000, 16_000],
  },
  ...[
    { name: 'one value', shape: VALUES, lengths: [1] },
    { name: 'values, of several chunks', shape: VALUES, lengths: [513] },
    {
      name: 'wide values of a key head, all pairs turned',
      shape: {
        ...VALUES,
        keyHeads: 1,
        groups: 1,
        ropeDim: 70,
        nopeDim: 0,
        valueDim: 70,
        widths: [70],
      },
      lengths: [9],
    },
    {
      name: 'values, no pair turned, in codes',
      shape: { ...VALUES, ropeDim: 0, nopeDim: 8 },
      spec: { method: 'affine', bits: 4, groupSize: 5 } as const,
      lengths: [260],
    },
  ].map((given) => ({ ...given, room: roomOf(600) })),
  { name: 'codes about zero', spec: { method: 'int8' }, lengths: [3, 257] },
  { name: 'halves', spec: { method: 'half' }, lengths: [3, 257] },
  ...([2, 3, 4, 8] as const).map((bits) => ({
    name: `codes of ${bits} bits, of two groups`,
    shape: { groups: 2, widths: [12, 13] },
    spec: { method: 'affine', bits, groupSize: 5 } as const,
    lengths: [1, 260],
  })),
  {
    name: '20,000 codes',
    shape: { widths: [4, 4], valueDim: 2 },
    room: roomOf(4096, 16_384),
    spec: { method: 'affine', bits: 4 },
    lengths: [4000, 16_000],
  },
];

/** NaN, read as f32 or as two halves. */
const POISON = 0x7fc07fc0;

/** Rows [heads, tokens, width] in a form: their words, and the values that those stand for. */
function storeRows(
  values: Float32Array,
  shape: [number, number, number],
  spec: QuantSpec | undefined,
) {
  if (!spec || values.length === 0)
    return { codes: new Int32Array(values.buffer), params: undefined, values };
  return tf.tidy(() => {
    const packed = quantize(tf.tensor3d(values, shape), spec);
    return {
      codes: packed.codes.dataSync() as Int32Array,
      params: packed.params?.dataSync() as Int32Array | undefined,
      values: dequantize(packed).dataSync() as Float32Array,
    };
  });
}

/** Random weights, a query and a cache whose rows beyond its lengths are NaN. */
function randomCase({
  shape: change = {},
  room = ROOM,
  lengths,
  bias = [],
  spread = 1,
  spec,
}: Case) {
  const form = vectorForm(spec)!;
  const forms = { latentForms: [form, form], keyForms: [form, form] };
  const shape = { ...SHAPE, ...forms, ...change };
  const { heads, keyHeads, groups, ropeDim, nopeDim, valueDim, widths } = shape;
  const absorbed = shape.caches === 'latents' ? nopeDim : 0;
  const up = (width: number, size: number, seed: number, hasBias: boolean | undefined) =>
    denseProjection(
      tf.tensor2d(gaussian(width * size, seed), [width, size]),
      hasBias ? tf.tensor1d(gaussian(size, seed + 1)) : undefined,
    );
  const segments = widths.map((width, m) => {
    const upK = up(width, keyHeads * absorbed, 10 * m + 1, bias[m]);
    const upV =
      shape.caches === 'values'
        ? denseProjection(tf.tile(tf.eye(width), [1, keyHeads]))
        : up(width, keyHeads * valueDim, 10 * m + 3, bias[m]);
    const length = lengths[m]!;
    const latents = gaussian(groups * length * width, 10 * m + 5);
    const keyShape = keyVectors(shape, m);
    const keys = gaussian(length * keyHeads * keyDim(shape), 10 * m + 6);
    const latentRows = storeRows(latents, [groups, length, width], spec);
    const keyRows = storeRows(keys, [keyShape.count, length, keyShape.width], spec);
    return {
      upK,
      upV,
      latentRows,
      keyRows,
      keyShape,
      length,
      latents: latentRows.values,
      keys: keyRows.values,
    };
  });
  const layout = latentLayout(shape, room);
  const cache = new Int32Array(layout.size).fill(POISON);
  const place = (
    words: Int32Array | undefined,
    heads: number,
    length: number,
    [m, start]: number[],
  ) => {
    if (!words) return;
    const row = words.length / heads;
    for (let g = 0; g < heads && row > 0; g++) {
      const to = start! + (g * room.capacities[m!]! * row) / length;
      cache.set(words.subarray(g * row, (g + 1) * row), to);
    }
  };
  for (const [m, { latentRows, keyRows, keyShape, length }] of segments.entries()) {
    place(latentRows.codes, groups, length, [m, layout.latents[m]!]);
    place(latentRows.params, groups, length, [m, layout.latentParams[m]!]);
    place(keyRows.codes, keyShape.count, length, [m, layout.keys[m]!]);
    place(keyRows.params, keyShape.count, length, [m, layout.keyParams[m]!]);
  }
  const projected = gaussian(heads * (ropeDim + nopeDim), 99).map((value) => spread * value);
  const slots = room.capacities.reduce((sum, capacity) => sum + capacity, 0);
  const apart = {
    bias: gaussian(keyHeads * ropeDim, 7),
    pairs: Uint32Array.from({ length: (keyHeads * ropeDim) / 2 }, (_, i) => i % (ropeDim / 2)),
    angles: gaussian(slots * (ropeDim + nopeDim), 8),
  };
  return { shape, room, segments, cache, projected, apart };
}

/** What the bias of keys that are stored without adds to the scores of a segment, [1, N, T]. */
function biasScores(
  { shape, room, apart, segments }: ReturnType<typeof randomCase>,
  m: number,
  rope: Float32Array,
): tf.Tensor3D | undefined {
  if (!shape.biasApart[m]) return undefined;
  const { heads, keyHeads, ropeDim, nopeDim } = shape;
  const half = ropeDim / 2;
  const { length } = segments[m]!;
  const scores = Float32Array.from({ length: heads * length }, (_, i) => {
    const [h, slot] = [Math.floor(i / length), (i % length) + (m === 0 ? 0 : room.capacities[0]!)];
    const key = Math.floor((h * keyHeads) / heads) * ropeDim;
    const own = apart.angles.subarray(slot * (ropeDim + nopeDim));
    let sum = 0;
    for (let r = 0; r < half; r++) {
      const pair = apart.pairs[key / 2 + r]!;
      const [c, s] = [own[pair]!, own[pair + (ropeDim + nopeDim) / 2]!];
      const [b1, b2] = [apart.bias[key + r]!, apart.bias[key + r + half]!];
      sum += rope[h * ropeDim + r]! * (b1 * c - b2 * s);
      sum += rope[h * ropeDim + r + half]! * (b2 * c + b1 * s);
    }
    return sum;
  });
  return tf.tensor3d(scores, [1, heads, length]);
}

function cached(vectors: tf.Tensor4D): QuantizedCache {
  const cache = new QuantizedCache();
  cache.append(vectors);
  return cache;
}

/** Every pair unturned: cos 1, sin 0. */
const unturned = (dims: number) => new Float32Array(dims).fill(1, 0, dims / 2);

describeWebGpu('absorbed decode', () => {
  test.each(CASES)('equals the composed ops: $name', async (given) => {
    const { device } = await openWebGpu();
    await tf.setBackend('wasm');
    const random = randomCase(given);
    const { shape, room, segments, cache, projected, apart } = random;
    const { heads, keyHeads, groups, ropeDim, nopeDim, valueDim, widths } = shape;
    const expands = shape.caches === 'latents';
    const commonKeyBias = segments.at(-1)!.upK.bias;
    const weights = segments.map(({ upK, upV }) =>
      absorbWeights(upK, upV, {
        numAttentionHeads: heads,
        numKeyValueHeads: keyHeads,
        headDim: 8,
        qkRopeHeadDim: ropeDim,
        qkNopeHeadDim: expands ? nopeDim : 0,
        ropePairs: undefined,
        groups,
        commonKeyBias,
      }),
    );
    const rope = projected.subarray(0, heads * ropeDim).map((value) => value * SCALE);
    const nope = projected.subarray(heads * ropeDim).map((value) => value * SCALE);
    const ofHeads = (values: Float32Array) =>
      tf.tensor4d(values, [1, keyHeads, heads / keyHeads, values.length / heads]);
    const query = [ofHeads(nope), ofHeads(rope)] as const;
    // A key of values holds all dims.
    const [absorbed, direct] = expands
      ? query
      : [ofHeads(new Float32Array()), tf.concat([query[1], query[0]], 3)];
    const expected = absorbedAttention(
      absorbed,
      direct,
      segments.flatMap(({ latents, keys, keyShape, length }, m) =>
        length === 0
          ? []
          : [
              {
                latents: cached(tf.tensor4d(latents, [1, groups, length, widths[m]!])),
                keys: cached(tf.tensor4d(keys, [1, keyShape.count, length, keyShape.width])),
                offset: biasScores(random, m, rope),
                weights: weights[m]!,
              },
            ],
      ),
    );
    const values = (tensor: tf.Tensor | undefined) =>
      tensor ? [tensor.dataSync() as Float32Array] : [];
    const half = ropeDim / 2;
    const pairs = Uint32Array.from({ length: keyHeads * half }, (_, i) => i % half);
    const keyBias = weights.map((own) => own.keyBias !== undefined);
    const ready = await runWgsl(
      device,
      absorbQuery(shape, { scale: SCALE, keyBias }),
      new Float32Array(queryLayout(shape).size),
      [
        projected,
        ...weights.flatMap(({ key }) => values(key)),
        ...weights.flatMap((own) => values(own.keyBias)),
        ...(ropeDim > 0 ? [unturned(ropeDim + nopeDim), pairs] : []),
      ],
    );
    const chunks = segments.map(({ length }) => Math.ceil(length / CHUNK));
    const step = stepWords({
      stored: segments.map(({ length }) => length),
      chunks: chunks.flatMap((own) => [own, 0]),
    });
    const count = chunks.reduce((sum, own) => sum + own, 0);
    const partials = await runWgsl(
      device,
      attendLatents(shape),
      new Float32Array(mostChunks(room) * heads * partialSize(shape)).fill(Number.NaN),
      [ready, cache, ...(shape.biasApart.includes(true) ? Object.values(apart) : [])],
      { place: placeWords(shape, room), step, groups: count * heads },
    );
    const valueBias = weights.map((own) => own.valueBias !== undefined);
    const output = await runWgsl(
      device,
      expandValues(shape, valueBias),
      new Float32Array(heads * valueDim),
      [
        partials,
        ...weights.flatMap(({ value }) => values(expands ? value : undefined)),
        ...weights.flatMap((own) => values(own.valueBias)),
      ],
      { place: placeWords(shape, room), step },
    );
    // Sums of up to 20,000 weighted latents, then of up to 70 products of size 1, in another order;
    // larger scores are off by as much more.
    expectClose(output, await expected.data(), { abs: 5e-5 * (given.spread ?? 1), rel: 1e-5 });
    for (const own of weights) disposeAbsorbed(own);
    for (const { upK, upV } of segments) {
      upK.dispose();
      upV.dispose();
    }
    expected.dispose();
    await tf.setBackend('webgpu');
  });

  test('over an empty cache gives zeros', async () => {
    const { device } = await openWebGpu();
    const { shape, cache } = randomCase({ name: '', lengths: [0, 0] });
    const step = stepWords({});
    const place = placeWords(shape, ROOM);
    const ups = shape.widths.map((width) => gaussian(shape.keyHeads * width * shape.valueDim, 1));
    const partials = new Float32Array(partialSize(shape)).fill(Number.NaN);
    const output = new Float32Array(shape.heads * shape.valueDim).fill(7);
    const program = expandValues(shape, [false, false]);
    const found = await runWgsl(device, program, output, [partials, ...ups], { place, step });
    expect([...found]).toEqual(new Array(output.length).fill(0));
    expect(cache.every((word) => word === POISON)).toBe(true);
  });
});

test('the keys of programs differ where a baked size does', () => {
  const changes: Partial<LatentShape>[] = [
    {},
    { caches: 'values' },
    { heads: 8 },
    { keyHeads: 4 },
    { groups: 2 },
    { ropeDim: 6 },
    { nopeDim: 6 },
    { valueDim: 6 },
    { widths: [10, 12] },
  ];
  const shapes = changes.map((change) => ({ ...SHAPE, ...change }));
  const keyBias = [false, false];
  const distinct = (keys: string[]) => expect(new Set(keys).size).toBe(keys.length);
  distinct(shapes.map((shape) => attendLatents(shape).key));
  distinct(shapes.map((shape) => expandValues(shape, keyBias).key));
  distinct(shapes.map((shape) => absorbQuery(shape, { scale: 1, keyBias }).key));
  const half: VectorForm = { method: 'half', bits: 16, groupSize: 0 };
  distinct(
    [
      SHAPE,
      { ...SHAPE, latentForms: [half, half] },
      { ...SHAPE, biasApart: [true, false] },
      { ...SHAPE, tail: 'window' as const },
    ].map((shape) => attendLatents(shape).key),
  );
  distinct(
    [absorbQuery(SHAPE, { scale: 2, keyBias }), absorbQuery(SHAPE, { scale: 1, keyBias })].map(
      ({ key }) => key,
    ),
  );
  distinct([expandValues(SHAPE, [true, false]).key, expandValues(SHAPE, keyBias).key]);
});
