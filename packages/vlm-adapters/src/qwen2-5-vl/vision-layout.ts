/**
 * Where patches stand while the vision tower runs. The processor lists the merge units (squares of
 * patches that become one token) of each picture row by row; the tower wants those of one window
 * side by side, so that windows are stretches of the sequence. A video's steps are pictures.
 */

export interface Grid {
  /** Steps in time; patches in height and in width. */
  readonly t: number;
  readonly h: number;
  readonly w: number;
}

export interface VisionLayout {
  /** [units]: which unit of the processor's order stands at each place of the window order. */
  unitOrder: Int32Array;
  /** [patches * 2]: row and column of each patch, in window order. */
  coordinates: Int32Array;
  /** Patches of each window, and of each picture or step, in window order. */
  windows: readonly number[];
  pictures: readonly number[];
}

interface LayoutOptions {
  /** Patches on the side of a merge unit. */
  mergeSize: number;
  /** Merge units on the side of a window. */
  windowSide: number;
}

/** @param grids whose `h` and `w` are multiples of `mergeSize`. */
export function visionLayout(
  grids: readonly Grid[],
  { mergeSize, windowSide }: LayoutOptions,
): VisionLayout {
  const patches = grids.reduce((sum, { t, h, w }) => sum + t * h * w, 0);
  const area = mergeSize ** 2;
  const unitOrder = new Int32Array(patches / area);
  const coordinates = new Int32Array(patches * 2);
  const windows: number[] = [];
  const pictures: number[] = [];
  let [place, first] = [0, 0];
  for (const { t, h, w } of grids) {
    const [rows, columns] = [h / mergeSize, w / mergeSize];
    for (let step = 0; step < t; step++) {
      for (const { top, left, bottom, right } of windowsOf(rows, columns, windowSide)) {
        for (let row = top; row < bottom; row++) {
          for (let column = left; column < right; column++) {
            unitOrder[place] = first + row * columns + column;
            fillUnit(coordinates, place * area, row * mergeSize, column * mergeSize, mergeSize);
            place++;
          }
        }
        windows.push((bottom - top) * (right - left) * area);
      }
      first += rows * columns;
      pictures.push(h * w);
    }
  }
  return { unitOrder, coordinates, windows, pictures };
}

/** Windows row by row; those at the right and lower edges may be smaller. */
function* windowsOf(rows: number, columns: number, side: number) {
  for (let top = 0; top < rows; top += side) {
    for (let left = 0; left < columns; left += side) {
      const [bottom, right] = [Math.min(top + side, rows), Math.min(left + side, columns)];
      yield { top, left, bottom, right };
    }
  }
}

/** Coordinates of the patches of one unit, row by row. */
function fillUnit(
  coordinates: Int32Array,
  patch: number,
  row: number,
  column: number,
  size: number,
): void {
  for (let i = 0; i < size * size; i++) {
    coordinates[2 * (patch + i)] = row + Math.floor(i / size);
    coordinates[2 * (patch + i) + 1] = column + (i % size);
  }
}
