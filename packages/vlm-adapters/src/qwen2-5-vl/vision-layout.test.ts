import { describe, expect, test } from 'vitest';
import { visionLayout } from './vision-layout';

/** As the fixtures: merge units of 2 x 2 patches, windows of 2 x 2 units. */
const SIDES = { mergeSize: 2, windowSide: 2 };

/*
 * Computed by transformers 4.51.0 for the fixtures' vision_config:
 *   order, bounds = Qwen2_5_VisionTransformerPretrainedModel(config).get_window_index(grid_thw)
 *   order.tolist(), torch.unique_consecutive(torch.tensor(bounds)).diff().tolist()
 */
describe('the window order is that of Hugging Face where windows do not fill a grid', () => {
  test('a video', () => {
    const { unitOrder, windows, pictures } = visionLayout([{ t: 2, h: 6, w: 10 }], SIDES);
    expect([...unitOrder]).toEqual([
      ...[0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14],
      ...[15, 16, 20, 21, 17, 18, 22, 23, 19, 24, 25, 26, 27, 28, 29],
    ]);
    expect(windows).toEqual([16, 16, 8, 8, 8, 4, 16, 16, 8, 8, 8, 4]);
    expect(pictures).toEqual([60, 60]);
  });

  test('two pictures', () => {
    const grids = [
      { t: 1, h: 10, w: 6 },
      { t: 1, h: 4, w: 4 },
    ];
    const { unitOrder, windows, pictures } = visionLayout(grids, SIDES);
    expect([...unitOrder]).toEqual([
      ...[0, 1, 3, 4, 2, 5, 6, 7, 9, 10, 8, 11, 12, 13, 14],
      ...[15, 16, 17, 18],
    ]);
    expect(windows).toEqual([16, 8, 16, 8, 8, 4, 16]);
    expect(pictures).toEqual([60, 16]);
  });
});

test.each([1, 2, 3, 8])('patches of a window lie in its square: side %i', (windowSide) => {
  const grid = { t: 2, h: 10, w: 14 };
  const { unitOrder, coordinates, windows } = visionLayout([grid], { mergeSize: 2, windowSide });
  expect(unitOrder.slice().sort()).toEqual(unitOrder.map((_, i) => i));
  const side = 2 * windowSide;
  const seen = new Map<string, number>();
  let patch = 0;
  for (const length of windows) {
    const squares = new Set<string>();
    for (const end = patch + length; patch < end; patch++) {
      const [row, column] = [coordinates[2 * patch]!, coordinates[2 * patch + 1]!];
      squares.add(`${Math.floor(row / side)},${Math.floor(column / side)}`);
      const place = `${row},${column}`;
      seen.set(place, (seen.get(place) ?? 0) + 1);
    }
    expect(squares.size).toBe(1);
  }
  // Every patch once a step.
  expect(seen.size).toBe(grid.h * grid.w);
  expect(new Set(seen.values())).toEqual(new Set([grid.t]));
});

test('units and patches of a picture of 3 x 3 units, written out', () => {
  // Units 0 1 2 / 3 4 5 / 6 7 8: windows of 0 1 3 4, of 2 5, of 6 7 and of 8.
  const { unitOrder, coordinates, windows } = visionLayout([{ t: 1, h: 6, w: 6 }], SIDES);
  expect([...unitOrder]).toEqual([0, 1, 3, 4, 2, 5, 6, 7, 8]);
  expect(windows).toEqual([16, 8, 8, 4]);
  const patchesAt = (place: number) => [...coordinates.subarray(8 * place, 8 * place + 8)];
  expect(patchesAt(1)).toEqual([0, 2, 0, 3, 1, 2, 1, 3]);
  expect(patchesAt(2)).toEqual([2, 0, 2, 1, 3, 0, 3, 1]);
  expect(patchesAt(8)).toEqual([4, 4, 4, 5, 5, 4, 5, 5]);
});

test.each([1, 2, 3])('a patch has the coordinates of its unit: units of side %i', (mergeSize) => {
  const grids = [
    { t: 1, h: 4 * mergeSize, w: 5 * mergeSize },
    { t: 2, h: 3 * mergeSize, w: 2 * mergeSize },
  ];
  const { unitOrder, coordinates } = visionLayout(grids, { mergeSize, windowSide: 2 });
  // In the processor's order: a video's steps are pictures.
  const corners = grids.flatMap(({ t, h, w }) =>
    Array.from({ length: (t * h * w) / mergeSize ** 2 }, (_, unit) => {
      const columns = w / mergeSize;
      const row = Math.floor(unit / columns) % (h / mergeSize);
      return [row * mergeSize, (unit % columns) * mergeSize] as const;
    }),
  );
  const expected = [...unitOrder].flatMap((unit) => {
    const [top, left] = corners[unit]!;
    return Array.from({ length: mergeSize ** 2 }, (_, i) => [
      top + Math.floor(i / mergeSize),
      left + (i % mergeSize),
    ]);
  });
  expect([...coordinates]).toEqual(expected.flat());
});
