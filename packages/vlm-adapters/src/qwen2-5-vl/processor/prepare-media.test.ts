import { expectClose, gaussian } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import type { RgbImage } from '../../image/rgb-image';
import { parseMediaSettings } from './media-settings';
import { prepareImages, prepareVideos } from './prepare-media';

const sizes = { patchSize: 14, temporalPatchSize: 2, spatialMergeSize: 2 };
const json = { min_pixels: 3136, max_pixels: 15_680 };
const settings = parseMediaSettings('image', json, sizes);

function noise(width: number, height: number, seed: number): RgbImage {
  const levels = gaussian(width * height * 3, seed).map((x) => 128 + 60 * x);
  return { data: Uint8ClampedArray.from(levels), width, height };
}

interface Prepared {
  values: Float32Array;
  grid: number[];
}

const pixelsOf = (images: RgbImage[]): Prepared => {
  const { pixelValues, imageGridThw } = prepareImages(images, settings, sizes).inputs;
  return { values: pixelValues!.data, grid: [...imageGridThw!] };
};
const clipOf = (frames: RgbImage[], { fps = 2, temporalPatchSize = 2 } = {}): Prepared => {
  const deep = { ...sizes, temporalPatchSize };
  const { pixelValuesVideos, videoGridThw } = prepareVideos(
    [{ frames, fps }],
    settings,
    deep,
  ).inputs;
  return { values: pixelValuesVideos!.data, grid: [...videoGridThw!] };
};

function expectSame(own: Prepared, other: Prepared): void {
  expect(own.grid).toEqual(other.grid);
  expectClose(own.values, other.values, { abs: 0 });
}

describe('time', () => {
  const [a, b, c] = [1, 2, 3].map((seed) => noise(70, 60, seed)) as [RgbImage, RgbImage, RgbImage];

  test('a picture is a video of its frame twice', () => {
    expectSame(pixelsOf([a]), clipOf([a, a]));
    expect(pixelsOf([a]).grid).toEqual([1, 4, 4]);
  });

  test('frames that the last step lacks are the last frame again', () => {
    expectSame(clipOf([a, b, c]), clipOf([a, b, c, c]));
    expect(clipOf([a, b, c]).grid).toEqual([2, 4, 4]);
    const temporalPatchSize = 4;
    expectSame(clipOf([a, b], { temporalPatchSize }), clipOf([a, b, b, b], { temporalPatchSize }));
  });

  test('patches may be one frame deep, or more than two', () => {
    for (const [temporalPatchSize, steps] of [
      [1, 3],
      [3, 1],
      [4, 1],
    ] as const) {
      const other = { ...sizes, temporalPatchSize };
      const { inputs } = prepareVideos([{ frames: [a, b, c], fps: 2 }], settings, other);
      expect(inputs.pixelValuesVideos!.shape).toEqual([steps * 16, 3 * temporalPatchSize * 196]);
      expect([...inputs.videoGridThw!]).toEqual([steps, 4, 4]);
      expect([...inputs.secondPerGridTs!]).toEqual([temporalPatchSize / 2]);
    }
  });

  test('pictures together are the pictures alone, one behind the other', () => {
    const wide = noise(200, 40, 4);
    const [first, second] = [pixelsOf([a]), pixelsOf([wide])];
    expectSame(pixelsOf([a, wide]), {
      values: Float32Array.from([...first.values, ...second.values]),
      grid: [...first.grid, ...second.grid],
    });
    expect(prepareImages([a, wide], settings, sizes).tokens).toEqual([4, 7]);
  });
});

test('grey and RGBA pictures are made RGB, unless the configuration forbids it', () => {
  const filled = (channels: number): RgbImage => ({
    data: new Uint8Array(60 * 60 * channels).fill(77),
    width: 60,
    height: 60,
  });
  expectSame(pixelsOf([filled(1)]), pixelsOf([filled(3)]));
  expectSame(pixelsOf([filled(4)]), pixelsOf([filled(3)]));
  const strict = parseMediaSettings('image', { ...json, do_convert_rgb: false }, sizes);
  expect(() => prepareImages([filled(1)], strict, sizes)).toThrow(/do_convert_rgb false/);
});

test('without a resize, sides must be whole merge units', () => {
  const kept = parseMediaSettings('image', { do_resize: false }, sizes);
  const { inputs } = prepareImages([noise(84, 56, 1)], kept, sizes);
  expect([...inputs.imageGridThw!]).toEqual([1, 4, 6]);
  expect(() => prepareImages([noise(84, 57, 1)], kept, sizes)).toThrow(
    /multiples of 28, got 84 x 57/,
  );
});

describe('media that are none are refused', () => {
  const frame = noise(56, 56, 1);
  const blank = (width: number, height: number) => ({ ...frame, width, height });

  test.each<[string, RgbImage, RegExp]>([
    ['no rows', blank(56, 0), /height must be an integer .* got 0/],
    ['no number', blank(Number.NaN, 56), /width must be an integer .* got NaN/],
    ['a buffer that is too short', blank(56, 57), /got 9408 for 56 x 57/],
    ['a size without its pixels', blank(10_000, 10_000), /got 9408 for 10000 x 10000/],
    ['a line', { data: new Uint8Array(30_000), width: 1, height: 10_000 }, /200 times .* 1 x 1000/],
    ['floats', { ...frame, data: new Float32Array(9408) as never }, /Float32Array/],
  ])('%s', (_, image, message) => {
    expect(() => pixelsOf([image])).toThrow(message);
    expect(() => clipOf([image])).toThrow(message);
    expect(() => clipOf([frame, image])).toThrow(/got/);
  });

  test('a video without frames', () => {
    expect(() => clipOf([])).toThrow(/must have frames, got none/);
  });

  test('a frame of another size than the first', () => {
    expect(() => clipOf([frame, frame, noise(56, 84, 2)])).toThrow(
      /the first, 56 x 56, got 56 x 84 in frame 2/,
    );
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e-320, '2' as never])(
    '%s frames a second',
    (fps) => {
      expect(() => clipOf([frame], { fps })).toThrow(/fps must be a positive number/);
    },
  );
});

describe('what media take is bounded before it is taken', () => {
  test('patches of all pictures, and of all videos', () => {
    const large = parseMediaSettings('image', { min_pixels: 2 ** 26, max_pixels: 2 ** 26 }, sizes);
    const dot = { data: new Uint8Array(3), width: 1, height: 1 };
    expect(() => prepareImages([dot], large, sizes)).toThrow(
      /at most 262144 patches .* got 343396/,
    );
    const frames = new Array<RgbImage>(768).fill(noise(28, 28, 1));
    const published = { min_pixels: 3136, max_pixels: 12_845_056 };
    const usual = parseMediaSettings('video', { ...published, min_pixels: 602_112 }, sizes);
    expect(() => prepareVideos([{ frames, fps: 2 }], usual, sizes)).toThrow(/at most 262144 patch/);
  });

  test('their values, where a patch is huge', () => {
    const huge = { patchSize: 512, temporalPatchSize: 16, spatialMergeSize: 1 };
    const large = parseMediaSettings('image', { min_pixels: 2 ** 26, max_pixels: 2 ** 26 }, huge);
    const dot = { data: new Uint8Array(3), width: 1, height: 1 };
    expect(() => prepareImages([dot], large, huge)).toThrow(/at most 42 patches together, got 256/);
  });
});
