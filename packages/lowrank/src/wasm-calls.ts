/**
 * Calls into the wasm module. Operands are copied into its memory and results out of it, and all
 * of it is freed again. A trap (no memory for scratch, a panic) leaves the allocator in an unknown
 * state, so the instance is dropped and the next call gets a new one.
 */

export interface WasmExports {
  memory: WebAssembly.Memory;
  la_alloc(bytes: number): number;
  la_free(pointer: number, bytes: number): void;
  la_eigh(n: number, top: number, a: number, values: number): number;
  la_qr(m: number, n: number, a: number, coefficients: number, r: number): undefined;
  la_qr_block(m: number, n: number): number;
  la_apply_q(
    m: number,
    n: number,
    k: number,
    reflectors: number,
    coefficients: number,
    b: number,
    out: number,
  ): undefined;
  la_cholesky_qr(m: number, n: number, limit: number, a: number, r: number): number;
  la_inverse_cholesky(n: number, a: number): number;
  la_solve_upper(n: number, k: number, r: number, b: number): undefined;
  la_congruence(rows: number, cols: number, t: number, s: number, out: number): undefined;
  la_svd(m: number, n: number, a: number, u: number, s: number, v: number): number;
  la_matmul(m: number, k: number, n: number, a: number, b: number, c: number): undefined;
}

export interface WasmCall {
  /** Operation that the messages name. */
  name: string;
  /** Values to copy in, or the length of an array that is written, which the module may know. */
  operands: readonly (Float64Array | number | ((wasm: WasmExports) => number))[];
  /** Peak of memory over that of the operands, as measured on matrices of 1000 and more. */
  peak: number;
  /** @returns 0 or undefined on success, 1 without convergence. */
  run(wasm: WasmExports, pointers: number[]): number | undefined;
  /** Operands to copy out. */
  results: readonly number[];
}

/** What wasm32 can address. */
const MEMORY_BYTES = 4 * 2 ** 30;

const HINT = 'Use groups of KV heads to make matrices smaller.';

/** @param instantiate gives a new instance, at first and after each trap. */
export function wasmCalls(instantiate: () => WasmExports): (call: WasmCall) => Float64Array[] {
  let instance: WasmExports | undefined;
  return ({ name, operands: given, peak, run, results }) => {
    const operands = given.map((operand) => {
      if (typeof operand !== 'function') return operand;
      instance ??= instantiate();
      return operand(instance);
    });
    const sizes = operands.map((o) => 8 * (typeof o === 'number' ? o : o.length));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const limit = Math.floor(MEMORY_BYTES / peak);
    if (total > limit) {
      throw new RangeError(`${name}: operands must fit in ${limit} bytes, got ${total}. ${HINT}`);
    }
    instance ??= instantiate();
    const wasm = instance;
    const pointers: number[] = [];
    try {
      for (const [i, operand] of operands.entries()) {
        const pointer = wasm.la_alloc(sizes[i]!) >>> 0; // i32 is signed, addresses are not
        if (pointer === 0) {
          throw new Error(`${name}: expected ${sizes[i]} bytes of wasm memory, got none. ${HINT}`);
        }
        pointers.push(pointer);
        if (typeof operand !== 'number') {
          new Float64Array(wasm.memory.buffer, pointer, operand.length).set(operand);
        }
      }
      const status = trapped(() => run(wasm, pointers));
      if (status) {
        throw new Error(`${name}: expected convergence, got none after faer's iteration limit.`);
      }
      return results.map((i) =>
        new Float64Array(wasm.memory.buffer, pointers[i], sizes[i]! / 8).slice(),
      );
    } finally {
      if (instance === wasm) for (const [i, p] of pointers.entries()) wasm.la_free(p, sizes[i]!);
    }

    function trapped<T>(body: () => T): T {
      try {
        return body();
      } catch (cause) {
        instance = undefined;
        throw new Error(
          `${name}: operands and scratch must fit in 4 GiB of wasm memory, got a trap with operands of ${total} bytes. ${HINT}`,
          { cause },
        );
      }
    }
  };
}
