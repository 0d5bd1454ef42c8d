/**
 * Add the biases of value projections to what a segment's tokens give to the result.
 * @param output [B, N * L, V], L queries of a head side by side.
 * @param masses [B, N * L], of the segment's tokens.
 * @param bias [N, V].
 */
export function addValueBias(
  output: Float32Array,
  masses: Float32Array,
  bias: Float32Array,
  batch: number,
): void {
  const width = output.length / masses.length;
  const heads = bias.length / width;
  const queries = masses.length / batch / heads;
  for (const [row, mass] of masses.entries()) {
    const head = Math.floor(row / queries) % heads;
    for (let i = 0; i < width; i++) output[row * width + i]! += mass * bias[head * width + i]!;
  }
}
