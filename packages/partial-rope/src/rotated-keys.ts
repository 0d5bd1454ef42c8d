import type { AttentionSample } from './attention-sample';

/** Keys of one KV head of a sample, [H, T], as they are and rotated. Keys come last: loops run along them. */
export class RotatedKeys {
  readonly plain: Float64Array;
  readonly turned: Float64Array;

  constructor(
    private readonly headDim: number,
    readonly keys: number,
  ) {
    this.plain = new Float64Array(keys * headDim);
    this.turned = new Float64Array(keys * headDim);
  }

  /** Take up the keys of a KV head. */
  set({ key, keyCos, keySin }: AttentionSample, keyHead: number): void {
    const { headDim, keys, plain, turned } = this;
    const half = headDim / 2;
    for (let j = 0; j < keys; j++) {
      const start = (keyHead * keys + j) * headDim;
      for (let pair = 0; pair < half; pair++) {
        const first = pair * keys + j;
        const second = first + half * keys;
        const a = key[start + pair]!;
        const b = key[start + half + pair]!;
        const c = keyCos[j * half + pair]!;
        const s = keySin[j * half + pair]!;
        plain[first] = a;
        plain[second] = b;
        turned[first] = a * c - b * s;
        turned[second] = b * c + a * s;
      }
    }
  }
}
