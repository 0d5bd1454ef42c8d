/**
 * Dense float64 linear algebra on faer, compiled to wasm (see `native/`). The module has no imports
 * and travels as base64, so it loads alike in Node, a worker and a page. Matrices are row-major.
 */
import { WASM_BASE64 } from './linear-algebra.wasm';

export interface LinearAlgebra {
  /**
   * Eigenvalues of a symmetric [n, n] matrix, descending, and its eigenvectors [n, n], a row each.
   * Only the lower triangle is read.
   */
  eigh(a: Float64Array, n: number): { values: Float64Array; vectors: Float64Array };
  /** Thin QR of a [m, n], m >= n: q [m, n] with orthonormal columns, r [n, n] upper triangular. */
  qr(a: Float64Array, m: number, n: number): { q: Float64Array; r: Float64Array };
  /** Thin SVD of a [m, n], k = min(m, n): u [m, k], s [k] descending, v [n, k]. */
  svd(
    a: Float64Array,
    m: number,
    n: number,
  ): { u: Float64Array; s: Float64Array; v: Float64Array };
  /** a [m, k] times b [k, n]. */
  matmul(a: Float64Array, b: Float64Array, m: number, k: number, n: number): Float64Array;
}

interface Exports {
  memory: WebAssembly.Memory;
  la_alloc(bytes: number): number;
  la_free(pointer: number, bytes: number): void;
  la_eigh(n: number, a: number, values: number): number;
  la_qr(m: number, n: number, a: number, q: number, r: number): number;
  la_svd(m: number, n: number, a: number, u: number, s: number, v: number): number;
  la_matmul(m: number, k: number, n: number, a: number, b: number, c: number): void;
}

/** wasm32 addresses 4 GiB; decompositions need scratch of some four times their operands. */
const MAX_OPERAND_BYTES = 768 * 2 ** 20;

let loading: Promise<LinearAlgebra> | undefined;

/** Load the module, once a thread. */
export function loadLinearAlgebra(): Promise<LinearAlgebra> {
  loading ??= instantiate();
  return loading;
}

async function instantiate(): Promise<LinearAlgebra> {
  const bytes = Uint8Array.from(atob(WASM_BASE64), (char) => char.charCodeAt(0));
  const { instance } = await WebAssembly.instantiate(bytes);
  return bind(instance.exports as unknown as Exports);
}

function bind(wasm: Exports): LinearAlgebra {
  return {
    eigh(a, n) {
      check('eigh', a, n, n);
      return withMemory(wasm, [a, n], ([matrix, values], read) => {
        converged('eigh', wasm.la_eigh(n, matrix!, values!));
        // Column-major columns are row-major rows; ascending becomes descending.
        return { values: read(1).reverse(), vectors: reverseRows(read(0), n) };
      });
    },
    qr(a, m, n) {
      check('qr', a, m, n);
      if (m < n) throw new RangeError(`qr: m must be at least n, got m=${m}, n=${n}.`);
      return withMemory(wasm, [transpose(a, m, n), m * n, n * n], ([matrix, q, r], read) => {
        converged('qr', wasm.la_qr(m, n, matrix!, q!, r!));
        return { q: transpose(read(1), n, m), r: transpose(read(2), n, n) };
      });
    },
    svd(a, m, n) {
      check('svd', a, m, n);
      const k = Math.min(m, n);
      return withMemory(wasm, [transpose(a, m, n), m * k, k, n * k], (pointers, read) => {
        const [matrix, u, s, v] = pointers;
        converged('svd', wasm.la_svd(m, n, matrix!, u!, s!, v!));
        return { u: transpose(read(1), k, m), s: read(2), v: transpose(read(3), k, n) };
      });
    },
    matmul(a, b, m, k, n) {
      check('matmul', a, m, k);
      check('matmul', b, k, n);
      if (m === 0 || k === 0 || n === 0) return new Float64Array(m * n);
      // Row-major c = a b is column-major cᵀ = bᵀ aᵀ.
      return withMemory(wasm, [a, b, m * n], ([left, right, product], read) => {
        wasm.la_matmul(n, k, m, right!, left!, product!);
        return read(2);
      });
    },
  };
}

/**
 * Put operands into wasm memory, run, and free all of it again.
 * @param operands values to copy in, or the length of an array to be written.
 */
function withMemory<T>(
  wasm: Exports,
  operands: readonly (Float64Array | number)[],
  run: (pointers: number[], read: (operand: number) => Float64Array) => T,
): T {
  const sizes = operands.map((operand) => 8 * (typeof operand === 'number' ? operand : operand.length));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total > MAX_OPERAND_BYTES) {
    throw new RangeError(
      `withMemory: operands must fit in ${MAX_OPERAND_BYTES} bytes, got ${total}. Use groups of KV heads to make matrices smaller.`,
    );
  }
  const pointers: number[] = [];
  try {
    for (const [i, operand] of operands.entries()) {
      const pointer = wasm.la_alloc(sizes[i]!);
      if (pointer === 0) throw new Error(`withMemory: expected ${sizes[i]} bytes of memory, got none.`);
      pointers.push(pointer);
      if (typeof operand !== 'number') {
        new Float64Array(wasm.memory.buffer, pointer, operand.length).set(operand);
      }
    }
    const read = (i: number) =>
      new Float64Array(wasm.memory.buffer, pointers[i], sizes[i]! / 8).slice();
    return run(pointers, read);
  } finally {
    for (const [i, pointer] of pointers.entries()) wasm.la_free(pointer, sizes[i]!);
  }
}

function check(name: string, a: Float64Array, rows: number, cols: number): void {
  if (a.length !== rows * cols) {
    throw new RangeError(`${name}: a matrix must be [${rows}, ${cols}], got ${a.length} values.`);
  }
  const bad = a.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new RangeError(`${name}: values must be finite, got ${a[bad]} at ${bad}.`);
  }
}

function converged(name: string, status: number): void {
  if (status !== 0) throw new Error(`${name}: expected convergence, got none. Check the input's scale.`);
}

/** [rows, cols] to [cols, rows]. */
export function transpose(a: Float64Array, rows: number, cols: number): Float64Array {
  const out = new Float64Array(a.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = a[i * cols + j]!;
  return out;
}

function reverseRows(a: Float64Array, n: number): Float64Array {
  const out = new Float64Array(a.length);
  for (let i = 0; i < n; i++) out.set(a.subarray(i * n, (i + 1) * n), (n - 1 - i) * n);
  return out;
}
