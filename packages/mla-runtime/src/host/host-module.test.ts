import { setFlagsFromString } from 'node:v8';
import { expectClose, gaussian } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { WASM_BASE64 } from './host.wasm';
import type { HostModule } from './host-module';
import { WASM_BASE64 as RELAXED_BASE64 } from './host-relaxed.wasm';

// Node 20 has it behind this flag.
setFlagsFromString('--experimental-wasm-relaxed-simd');

const MODULES = { 'as it is': WASM_BASE64, 'with relaxed SIMD': RELAXED_BASE64 };

describe.each(Object.entries(MODULES))('the loops %s', (_, base64) => {
  test.each([
    // Of rows, tokens, widths of latents and keys: of the real models, of a chunk and more, of no four.
    [1, 1, 64, 32],
    [7, 200, 64, 32],
    [4, 66, 128, 32],
    [2, 65, 0, 128],
    [3, 130, 0, 64],
    [5, 67, 256, 16],
    [8, 40, 300, 20],
    [6, 7, 5, 3],
    [2, 9, 64, 0],
    [3, 5, 0, 0],
  ])('%i rows attend to %i tokens of %i latents and %i keys', (rows, tokens, width, keyWidth) => {
    const room = placesIn(base64);
    const valueWidth = width || 48;
    const query = room.place(small(rows * width, 1));
    const vectors = room.place(gaussian(tokens * valueWidth, 2));
    const turned = room.place(small(rows * keyWidth, 3));
    const keys = room.place(gaussian(tokens * keyWidth, 4));
    const largest = room.place(new Float32Array(rows).fill(Number.NEGATIVE_INFINITY));
    const totals = room.place(new Float32Array(rows));
    // What lies there before is not read.
    const sums = room.place(new Float32Array(rows * valueWidth).fill(Number.NaN));
    const scratch = room.place(new Float32Array(rows * 64));
    room.module.attend(
      ...[rows, tokens, width, query.at, vectors.at, 1, keyWidth, turned.at, keys.at, 0],
      ...[valueWidth, vectors.at, 0, 0, 0, 1, 0, largest.at, totals.at, sums.at, scratch.at],
    );
    room.module.share(rows, 1, largest.at, totals.at);
    room.module.join(rows, 1, valueWidth, largest.at, totals.at, sums.at);

    const expected = new Float32Array(rows * valueWidth);
    for (let row = 0; row < rows; row++) {
      const weights = Array.from({ length: tokens }, (_, t) =>
        Math.exp(
          dot(query.values, row * width, vectors.values, t * width, width) +
            dot(turned.values, row * keyWidth, keys.values, t * keyWidth, keyWidth),
        ),
      );
      const total = weights.reduce((a, b) => a + b);
      for (let i = 0; i < valueWidth; i++) {
        const sum = weights.reduce((s, w, t) => s + w * vectors.values[t * valueWidth + i]!, 0);
        expected[row * valueWidth + i] = sum / total;
      }
    }
    // Weighted means of values of size 1.
    expectClose(room.read(sums), expected, { abs: 3e-6 });
    expectClose(room.read(totals), new Float32Array(rows).fill(1), { abs: 1e-6 });
  });

  test.each([
    [1, 13, 37],
    [3, 64, 64],
    [7, 96, 30],
  ])('%i rows times matrices of %i by %i', (rows, inner, outer) => {
    const room = placesIn(base64);
    const a = room.place(gaussian(2 * rows * inner, 1));
    const b = room.place(gaussian(2 * inner * outer, 2));
    const turned = room.place(turn(b.values, inner, outer));
    const [sums, dots] = [0, 1].map(() => room.place(new Float32Array(2 * rows * outer)));
    room.module.sums(2, rows, inner, outer, a.at, b.at, sums!.at);
    room.module.dots(2, rows, outer, inner, a.at, turned.at, dots!.at);
    const expected = new Float32Array(2 * rows * outer);
    for (let i = 0; i < expected.length; i++) {
      const [row, column] = [Math.floor(i / outer), i % outer];
      const matrix = Math.floor(row / rows);
      for (let k = 0; k < inner; k++) {
        expected[i]! +=
          a.values[row * inner + k]! * b.values[(matrix * inner + k) * outer + column]!;
      }
    }
    // Sums of up to 96 products of size 1.
    for (const out of [sums!, dots!]) expectClose(room.read(out), expected, { abs: 2e-5 });
  });

  test('parts are joined, and a poisoned value stays one', () => {
    const room = placesIn(base64);
    const largest = room.place(Float32Array.of(0, 1, Number.NEGATIVE_INFINITY, 3));
    const totals = room.place(Float32Array.of(2, 1, 0, 1));
    const sums = room.place(Float32Array.of(2, Number.NaN, 0, 5));
    room.module.share(2, 2, largest.at, totals.at);
    room.module.join(2, 2, 1, largest.at, totals.at, sums.at);
    expect(room.read(sums)[0]).toBeCloseTo(1, 6);
    expect(room.read(sums)[1]).toBeNaN();
    expectClose(room.read(totals).subarray(0, 2), [1, 1], { abs: 1e-6 });
  });
});

function placesIn(base64: string) {
  const memory = new WebAssembly.Memory({ initial: 32, maximum: 65536 });
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  let end = 64;
  return {
    module: exports as unknown as HostModule,
    place(values: Float32Array) {
      const at = end;
      new Float32Array(memory.buffer, at, values.length).set(values);
      end += 64 * Math.ceil((values.byteLength + 1) / 64);
      return { at, values };
    },
    read: ({ at, values }: { at: number; values: Float32Array }) =>
      new Float32Array(memory.buffer, at, values.length),
  };
}

/** Scores of such queries stay of size 1. */
function small(length: number, seed: number): Float32Array {
  return gaussian(length, seed).map((x) => 0.2 * x);
}

function dot(a: Float32Array, atA: number, b: Float32Array, atB: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[atA + i]! * b[atB + i]!;
  return sum;
}

/** [2, inner, outer] to [2, outer, inner]. */
function turn(x: Float32Array, inner: number, outer: number): Float32Array {
  return Float32Array.from(x, (_, i) => {
    const [column, row] = [Math.floor(i / inner), i % inner];
    const matrix = Math.floor(column / outer);
    return x[(matrix * inner + row) * outer + (column % outer)]!;
  });
}
