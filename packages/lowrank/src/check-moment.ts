/** Whether a matrix can be a second moment: symmetric and positive semidefinite. */
import { checkMatrix } from './check-matrix';

/**
 * Moments are summed in float32 on devices, so both triangles differ in the seventh digit, and
 * singular ones have eigenvalues as little below zero. What is a hundred thousand times that is
 * another matrix: a correlation with the outputs, a triangle, a moment minus too large a mean.
 */
const TOLERANCE = 1e-2;

/**
 * @param name of the argument, for the message.
 * @throws RangeError unless `moment` is finite and symmetric, [dim, dim].
 */
export function checkMoment(
  caller: string,
  moment: Float64Array,
  dim: number,
  name = 'moment',
): void {
  checkMatrix(caller, name, moment, dim, dim);
  let largest = 0;
  for (const value of moment) largest = Math.max(largest, Math.abs(value));
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j < i; j++) {
      const [lower, upper] = [moment[i * dim + j]!, moment[j * dim + i]!];
      if (Math.abs(lower - upper) > TOLERANCE * largest) {
        throw new RangeError(
          `${caller}: ${name} must be symmetric, got ${lower} at [${i}, ${j}] and ${upper} at [${j}, ${i}].`,
        );
      }
    }
  }
}

/**
 * @param eigenvalues of S or of W S Wᵀ, descending.
 * @throws RangeError where S has a negative direction.
 */
export function checkSemidefinite(
  caller: string,
  eigenvalues: Float64Array,
  name = 'moment',
): void {
  const [largest, smallest] = [eigenvalues[0] ?? 0, eigenvalues[eigenvalues.length - 1] ?? 0];
  if (smallest < -TOLERANCE * Math.max(largest, -smallest)) {
    throw new RangeError(
      `${caller}: ${name} must be positive semidefinite, got a mean square of ${smallest} along a direction.`,
    );
  }
}
