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
