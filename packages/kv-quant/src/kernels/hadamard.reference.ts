/** Codebooks after a rotation, by their definitions in float64. */

/** H D / sqrt(n) of the size of one block, row by row. */
export function rotationMatrix(size: number): number[][] {
  const ones = (i: number) => i.toString(2).replaceAll('0', '').length;
  const sign = (i: number) => {
    let pairs = 0;
    for (let bit = 0; 2 ** bit <= i; bit += 2) if (((i >> bit) & 3) === 3) pairs++;
    return (-1) ** pairs;
  };
  return Array.from({ length: size }, (_, i) =>
    Array.from({ length: size }, (_, j) => ((-1) ** ones(i & j) * sign(j)) / Math.sqrt(size)),
  );
}
