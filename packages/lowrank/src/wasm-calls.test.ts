import { beforeAll, expect, test } from 'vitest';
import { bindLinearAlgebra } from './linear-algebra';
import { WASM_BASE64 } from './linear-algebra.wasm';
import { type WasmExports, wasmCalls } from './wasm-calls';

let module: WebAssembly.Module;
beforeAll(async () => {
  module = await WebAssembly.compile(Uint8Array.from(atob(WASM_BASE64), (c) => c.charCodeAt(0)));
});

const instantiate = () => new WebAssembly.Instance(module).exports as unknown as WasmExports;

/** An instance whose memory is at wasm32's end, but for what it can hold already. */
function nearlyFull(): WasmExports {
  const wasm = instantiate();
  const [bytes, pages] = [2 ** 20, 2 ** 16];
  wasm.la_free(wasm.la_alloc(bytes), bytes);
  // Reserved, not touched: this takes addresses, no memory.
  wasm.memory.grow(pages - wasm.memory.buffer.byteLength / pages);
  return wasm;
}

test('a trap becomes an error with its cause, and the next call works', () => {
  const instances = [nearlyFull(), instantiate()];
  const la = bindLinearAlgebra(() => instances.shift()!);
  const n = 300; // operands fit into the free 1 MiB, scratch does not
  const a = Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 2 : 0));
  const failed = expect.objectContaining({
    message: `eigh: operands and scratch must fit in 4 GiB of wasm memory, got a trap with operands of ${8 * n * (n + 1)} bytes. Use groups of KV heads to make matrices smaller.`,
    cause: expect.any(WebAssembly.RuntimeError),
  });
  expect(() => la.eigh(a, n)).toThrow(failed);
  expect(la.eigh(a, n).values.every((value) => value === 2)).toBe(true);
  expect(instances).toHaveLength(0);
});

test('operands lie above 2 GiB too', () => {
  const wasm = instantiate();
  // Reserved, not touched.
  expect(wasm.la_alloc(2 ** 31 - 2 ** 16)).not.toBe(0);
  expect(wasm.la_alloc(2 ** 20) >>> 0).toBeGreaterThan(2 ** 31);
  const la = bindLinearAlgebra(() => wasm);
  const a = Float64Array.from({ length: 300 * 300 }, (_, i) => (i % 301 === 0 ? 2 : 0));
  expect(la.eigh(a, 300).values.every((value) => value === 2)).toBe(true);
  expect(la.matmul(a, a, 300, 300, 300)[301]).toBe(4);
});

test('operands that find no memory are an error, and free what they took', () => {
  const la = bindLinearAlgebra(nearlyFull);
  const side = 400; // 1.28 MB an operand
  const a = new Float64Array(side * side);
  expect(() => la.matmul(a, a, side, side, side)).toThrow(
    'matmul: expected 1280000 bytes of wasm memory, got none.',
  );
  expect([...la.matmul(Float64Array.of(2), Float64Array.of(3), 1, 1, 1)]).toEqual([6]);
});

test('operands beyond the cap are refused before memory is asked for', () => {
  const call = wasmCalls(() => {
    throw new Error('expected no instance to be needed.');
  });
  const run = () => 0;
  expect(() => call({ name: 'svd', operands: [1e9, 4e6], peak: 4, run, results: [] })).toThrow(
    new RangeError(
      'svd: operands must fit in 1073741824 bytes, got 8032000000. Use groups of KV heads to make matrices smaller.',
    ),
  );
});

test('a status of 1 is an error that names the operation', () => {
  const call = wasmCalls(instantiate);
  expect(() => call({ name: 'svd', operands: [], peak: 1, run: () => 1, results: [] })).toThrow(
    'svd: expected convergence',
  );
});

test('calls keep no memory', () => {
  const wasm = instantiate();
  const la = bindLinearAlgebra(() => wasm);
  const a = Float64Array.from({ length: 100 * 100 }, (_, i) => Math.sin(i));
  const once = () => {
    la.eigh(a, 100);
    la.qr(a, 100, 100);
    la.svd(a, 100, 100);
    la.matmul(a, a, 100, 100, 100);
    return wasm.memory.buffer.byteLength;
  };
  const first = once();
  for (let i = 0; i < 20; i++) expect(once()).toBe(first);
});
