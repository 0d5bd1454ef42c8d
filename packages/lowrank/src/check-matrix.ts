/**
 * @param caller function whose argument `name` this is, for the message.
 * @throws RangeError unless `values` is a finite matrix [rows, cols].
 */
export function checkMatrix(
  caller: string,
  name: string,
  values: ArrayLike<number>,
  rows: number,
  cols: number,
): void {
  const shaped = [rows, cols].every((size) => Number.isSafeInteger(size) && size >= 0);
  if (!shaped || values.length !== rows * cols) {
    throw new RangeError(
      `${caller}: ${name} must be [${rows}, ${cols}], got ${values.length} values.`,
    );
  }
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new RangeError(`${caller}: ${name} must be finite, got ${values[i]} at ${i}.`);
    }
  }
}
