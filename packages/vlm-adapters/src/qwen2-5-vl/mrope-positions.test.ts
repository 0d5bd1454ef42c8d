import { parseModelConfig } from '@mha2mla/checkpoint';
import { describe, expect, test } from 'vitest';
import type { ModelInputs } from '../model-inputs';
import { mropePositions } from './mrope-positions';
import { parseQwen25VlConfig } from './qwen2-5-vl-config';
import { qwenGolden, readQwenJson } from './testing/qwen-golden';

const config = parseQwen25VlConfig(parseModelConfig(readQwenJson('checkpoint/config.json')));
const positions = (inputs: ModelInputs) => mropePositions(config, inputs, 'transformers-4.51');

const [TEXT, START, END, IMAGE, VIDEO] = [5, 395, 396, 398, 399];

/** A batch of one row. */
function row(inputIds: number[], media: Partial<ModelInputs> = {}): ModelInputs {
  const length = inputIds.length;
  const attentionMask = new Int32Array(length).fill(1);
  return { batch: 1, length, inputIds: Int32Array.from(inputIds), attentionMask, ...media };
}

const repeat = (id: number, count: number) => Array<number>(count).fill(id);

/** A video of 3 steps, a picture and another video: 6, 2 and 6 tokens. */
const MIXED = row(
  [
    ...[TEXT, START, ...repeat(VIDEO, 6), END],
    ...[START, ...repeat(IMAGE, 2), END],
    ...[START, ...repeat(VIDEO, 6), END, TEXT],
  ],
  {
    imageGridThw: Int32Array.of(1, 2, 4),
    videoGridThw: Int32Array.of(3, 2, 4, 3, 2, 4),
    secondPerGridTs: Float32Array.of(2 / 3, 2.5),
  },
);

/** Steps of a token each, of a video of 25 frames a second. */
const STEADY = row([START, ...repeat(VIDEO, 51), END], {
  videoGridThw: Int32Array.of(51, 2, 2),
  secondPerGridTs: Float32Array.of(2 / 25),
});

/*
 * Computed by each version, with torch 2.6.0, from the fixtures' config:
 *   model = Qwen2_5_VLForConditionalGeneration(config)  # 4.57 and 5: its `.model`
 *   position_ids, rope_deltas = model.get_rope_index(ids, image_grid_thw=…, video_grid_thw=…,
 *       second_per_grid_ts=torch.tensor([2 / 3, 2.5]), attention_mask=torch.ones_like(ids))
 * and in 5 also mm_token_type_ids=(ids == 398).int() + 2 * (ids == 399).int().
 */
const MIXED_POSITIONS = {
  'transformers-4.51': {
    t: [0, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 7, 9, 10, 11, 11, 16, 16, 21, 21, 22, 23],
    h: [0, 1, 2, 2, 2, 2, 2, 2, 5, 6, 7, 7, 9, 10, 11, 11, 11, 11, 11, 11, 22, 23],
    w: [0, 1, 2, 3, 2, 3, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 11, 12, 11, 12, 22, 23],
    delta: 2,
  },
  'transformers-4.57': {
    t: [0, 1, 2, 2, 2, 2, 2, 2, 4, 5, 6, 6, 8, 9, 10, 10, 14, 14, 18, 18, 19, 20],
    h: [0, 1, 2, 2, 2, 2, 2, 2, 4, 5, 6, 6, 8, 9, 10, 10, 10, 10, 10, 10, 19, 20],
    w: [0, 1, 2, 3, 2, 3, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 10, 11, 10, 11, 19, 20],
    delta: -1,
  },
  'transformers-5': {
    t: [0, 1, 2, 2, 3, 3, 4, 4, 4, 5, 6, 6, 8, 9, 10, 10, 15, 15, 20, 20, 12, 13],
    h: [0, 1, 2, 2, 2, 2, 2, 2, 4, 5, 6, 6, 8, 9, 10, 10, 10, 10, 10, 10, 12, 13],
    w: [0, 1, 2, 3, 2, 3, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 10, 11, 10, 11, 12, 13],
    delta: -1,
  },
} as const;

/** Position on the time axis of steps 24 to 26 and of the last, then of the text and its delta. */
const STEADY_POSITIONS = {
  'transformers-4.51': [4, 5, 5, 9, 10, -42],
  'transformers-4.57': [1, 1, 1, 1, 2, -50],
  'transformers-5': [4, 5, 5, 9, 2, -43],
} as const;

const VERSIONS = ['transformers-4.51', 'transformers-4.57', 'transformers-5'] as const;

describe('positions equal those of Hugging Face', () => {
  test.each(['p0', 'p1', 'p2', 'p3', 'p4', 'batch_p0_p1', 'batch_p0_p4'])('%s', (name) => {
    const { tensors, inputs } = qwenGolden(name);
    const { positionIds, ropeDeltas } = positions(inputs);
    expect(positionIds).toEqual(tensors.get('position_ids')!.data);
    expect(ropeDeltas).toEqual(tensors.get('rope_deltas')!.data);
  });

  test.each(VERSIONS)('videos and a picture, as by %s', (version) => {
    const { positionIds, ropeDeltas } = mropePositions(config, MIXED, version);
    const { t, h, w, delta } = MIXED_POSITIONS[version];
    expect([...positionIds]).toEqual([...t, ...h, ...w]);
    expect([...ropeDeltas!]).toEqual([delta]);
  });

  test.each(VERSIONS)('time is cut from float32, as by %s', (version) => {
    const { positionIds, ropeDeltas } = mropePositions(config, STEADY, version);
    const seen = [25, 26, 27, 51, 52].map((place) => positionIds[place]);
    expect([...seen, ropeDeltas![0]]).toEqual(STEADY_POSITIONS[version]);
  });
});

describe('laws of positions', () => {
  test.each([0, 3])('padding changes no position: %s of 3 to the left', (before) => {
    const alone = positions(MIXED);
    const ids = [...repeat(0, before), ...MIXED.inputIds, ...repeat(0, 3 - before)];
    const attentionMask = Int32Array.from(ids, (id) => Number(id !== 0));
    const padded = positions({ ...MIXED, ...row(ids), attentionMask });
    const real = (_: number, i: number) => attentionMask[i % ids.length] === 1;
    expect(padded.positionIds.filter(real)).toEqual(alone.positionIds);
    const padding = padded.positionIds.filter((_, i) => !real(_, i));
    expect([...padding]).toEqual(repeat(1, 9));
    expect(padded.nextPositions).toEqual(alone.nextPositions);
    expect(padded.ropeDeltas![0]).toBe(alone.ropeDeltas![0]! - 3);
  });

  test.each(VERSIONS)('all axes go on behind the largest position: %s', (version) => {
    const { positionIds, nextPositions, ropeDeltas } = mropePositions(config, MIXED, version);
    expect([...nextPositions]).toEqual(repeat(Math.max(...positionIds) + 1, 3));
    expect(nextPositions[0]).toBe(MIXED.length + ropeDeltas![0]!);
  });

  test('without media, tokens count from 0 on all axes alike', () => {
    const { positionIds, nextPositions, ropeDeltas } = positions(row(repeat(TEXT, 3)));
    expect([...positionIds]).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
    expect([...nextPositions]).toEqual([3, 3, 3]);
    expect([...ropeDeltas!]).toEqual([0]);
  });

  test('a video whose seconds are not given has a second a step', () => {
    const { secondPerGridTs, ...rest } = MIXED;
    const given = { ...rest, secondPerGridTs: Float32Array.of(1, 1) };
    expect(positions(rest)).toEqual(positions(given));
  });
});

describe('media that do not suit their tokens are refused with both numbers', () => {
  const grids = (...thw: number[]) => Int32Array.from(thw);
  const video = (...seconds: number[]) => ({ secondPerGridTs: Float32Array.from(seconds) });
  test.each<[string, Partial<ModelInputs>, RegExp]>([
    ['no grids', { imageGridThw: undefined }, /image tokens .* got 2 tokens and 0 grids of 0/],
    ['many grids', { imageGridThw: grids(1, 2, 4, 1, 2, 4) }, /2 tokens and 2 grids of 4 tokens/],
    ['a larger grid', { imageGridThw: grids(1, 4, 4) }, /2 tokens and 1 grids of 4 tokens/],
    ['no videos', { videoGridThw: undefined, ...video() }, /video tokens .*12 tokens and 0 grids/],
    ['videos cut otherwise', { videoGridThw: grids(4, 2, 4, 2, 2, 4) }, /8 tokens .* got 6 of/],
    ['a grid of two', { imageGridThw: grids(1, 2) }, /\[t, h, w\], .* got \[1,2,0\]/],
    ['no steps', { imageGridThw: grids(0, 2, 4) }, /got \[0,2,4\]/],
    ['negative sides', { imageGridThw: grids(1, -2, -4) }, /got \[1,-2,-4\]/],
    ['sides that do not merge', { imageGridThw: grids(1, 3, 4) }, /multiples of 2, got \[1,3,4\]/],
    ['huge', { imageGridThw: grids(2 ** 30, 2 ** 30, 2 ** 30) }, /2 tokens and 1 grids of/],
    ['seconds of one', video(1), /number for each video, got 1 for 2 videos/],
    ['no number', video(1, Number.NaN), /0..3600 seconds, got NaN/],
    ['negative seconds', video(1, -1), /0..3600 seconds, got -1/],
    ['an age', video(1, 1e9), /0..3600 seconds, got 1000000000/],
  ])('%s', (_, change, message) => {
    expect(() => positions({ ...MIXED, ...change })).toThrow(message);
    expect(() => positions({ ...MIXED, ...change })).toThrow(RangeError);
  });

  test('time beyond what float32 counts', () => {
    const long = { videoGridThw: grids(2 ** 20, 2, 2), ...video(3600) };
    const inputs = row([VIDEO], long);
    expect(() => positions(inputs)).toThrow(/must end by position 16777216 .* for 1048576 steps/);
  });
});
