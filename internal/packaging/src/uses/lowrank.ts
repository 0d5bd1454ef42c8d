import { factorize, loadLinearAlgebra } from '@mha2mla/lowrank';

/** Factors of a map of rank 1, by the wasm module. */
export async function use() {
  const la = await loadLinearAlgebra();
  const weight = Float64Array.of(3, 4, 6, 8);
  const { up, down, relativeError } = factorize(la, { weight, dOut: 2, dIn: 2, rank: 1 });
  const product = Array.from({ length: 4 }, (_, i) => up[i >> 1]! * down[i & 1]!);
  return [...product, relativeError].map((x) => Number(Math.abs(x).toFixed(6))); // the map, 0
}
