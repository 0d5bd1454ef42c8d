/**
 * Dense float64 linear algebra on faer, compiled to wasm (see `native/`). The module has no imports
 * and travels as base64, so it loads alike in Node, a worker and a page. Matrices are row-major.
 */
import { checkMatrix } from './check-matrix';
import { WASM_BASE64 } from './linear-algebra.wasm';
import { transpose } from './transpose';
import { type WasmExports, wasmCalls } from './wasm-calls';

/** Dense linear algebra in float64 by a wasm module; matrices are row-major. */
export interface LinearAlgebra {
  /**
   * Eigenvalues of a symmetric [n, n] matrix, descending, and the eigenvectors of the `top` largest
   * (default all), [top, n], a row each. Only the upper triangle is read.
   */
  eigh(a: Float64Array, n: number, top?: number): { values: Float64Array; vectors: Float64Array };
  /** Thin QR of a [m, n], m >= n: q [m, n] with orthonormal columns, r [n, n] upper triangular. */
  qr(a: Float64Array, m: number, n: number): { q: Float64Array; r: Float64Array };
  /** The same with q never formed: `applyQ` gives q b, [m, k], for b [n, k]. */
  implicitQr(a: Float64Array, m: number, n: number): ImplicitQr;
  /**
   * The same by Cholesky of aᵀ a, in half the time: q is orthonormal to some 1e-8, and `a` must stay
   * as it is. Undefined where |a| |a⁻¹| is above 1e4, which this squares.
   */
  choleskyQr(a: Float64Array, m: number, n: number): ImplicitQr | undefined;
  /**
   * t [n, n], upper triangular, with tᵀ a t = I: the inverse of a Cholesky factor. Undefined where the
   * symmetric `a` is not positive definite. Only its upper triangle is read.
   */
  inverseCholesky(a: Float64Array, n: number): Float64Array | undefined;
  /** Thin SVD of a [m, n], k = min(m, n): u [m, k], s [k] descending, v [n, k]. */
  svd(a: Float64Array, m: number, n: number): { u: Float64Array; s: Float64Array; v: Float64Array };
  /** a [m, k] times b [k, n]. */
  matmul(a: Float64Array, b: Float64Array, m: number, k: number, n: number): Float64Array;
  /**
   * t s tᵀ for t [rows, cols] and a symmetric s [cols, cols], of which the upper triangle is read. A
   * t that is upper triangular takes half the time.
   */
  congruence(t: Float64Array, s: Float64Array, rows: number, cols: number): Float64Array;
}

export interface ImplicitQr {
  /** [n, n], upper triangular. */
  r: Float64Array;
  applyQ(b: Float64Array, k: number): Float64Array;
}

/** Of |a|² |a⁻¹|²: times float64's eps it is what `choleskyQr` may be off by. */
const SQUARED_CONDITION = 1e8;

let compiling: Promise<WebAssembly.Module> | undefined;
let loading: Promise<LinearAlgebra> | undefined;

/** Compile the module, once a thread. A worker that is sent it need not compile it again. */
export function compileLinearAlgebra(): Promise<WebAssembly.Module> {
  compiling ??= WebAssembly.compile(Uint8Array.from(atob(WASM_BASE64), (c) => c.charCodeAt(0)));
  return compiling;
}

/**
 * Load the module, once a thread. Operations throw RangeError on values that are not finite.
 * @param module that another thread has compiled.
 */
export function loadLinearAlgebra(module?: WebAssembly.Module): Promise<LinearAlgebra> {
  loading ??= instantiate(module ?? compileLinearAlgebra());
  return loading;
}

async function instantiate(
  compiled: WebAssembly.Module | Promise<WebAssembly.Module>,
): Promise<LinearAlgebra> {
  const module = await compiled;
  // Without waiting for it, pages refuse to instantiate a module of this size.
  let first: WebAssembly.Instance | undefined = await WebAssembly.instantiate(module);
  return bindLinearAlgebra(() => {
    const next = first ?? new WebAssembly.Instance(module);
    first = undefined;
    return next.exports as unknown as WasmExports;
  });
}

/** @param instantiate gives an instance of the module, and a new one after a trap. */
export function bindLinearAlgebra(instantiate: () => WasmExports): LinearAlgebra {
  const call = wasmCalls(instantiate);
  const la: LinearAlgebra = {
    eigh(a, n, top = n) {
      checkMatrix('eigh', 'a', a, n, n);
      if (!Number.isSafeInteger(top) || top < 0 || top > n) {
        throw new RangeError(`eigh: top must be an integer from 0 to n=${n}, got ${top}.`);
      }
      const scale = safeScale(a);
      const [vectors, values] = call({
        name: 'eigh',
        operands: [times(a, scale), n],
        peak: 5.4,
        run: (wasm, [matrix, out]) => wasm.la_eigh(n, top, matrix!, out!),
        results: [0, 1],
      });
      // Column-major columns are row-major rows; ascending becomes descending.
      return {
        values: times(values!, 1 / scale).reverse(),
        vectors: reverseRows(vectors!.subarray(0, top * n), n),
      };
    },
    qr(a, m, n) {
      const { r, applyQ } = implicitQr('qr', a, m, n);
      const identity = new Float64Array(n * n);
      for (let i = 0; i < n; i++) identity[i * (n + 1)] = 1;
      return { q: applyQ(identity, n), r };
    },
    implicitQr: (a, m, n) => implicitQr('implicitQr', a, m, n),
    choleskyQr(a, m, n) {
      checkMatrix('choleskyQr', 'a', a, m, n);
      checkTall('choleskyQr', m, n);
      if (n === 0) return noColumns(m);
      const scale = safeScale(a);
      let status: number | undefined;
      const [right] = call({
        name: 'choleskyQr',
        operands: [times(transpose(a, m, n), scale), n * n],
        peak: 1.6,
        run(wasm, [matrix, r]) {
          status = wasm.la_cholesky_qr(m, n, SQUARED_CONDITION, matrix!, r!);
          return 0;
        },
        results: [1],
      });
      if (status !== 0) return undefined;
      const r = times(right!, 1 / scale);
      return {
        r: transpose(r, n, n),
        applyQ(b, k) {
          checkMatrix('applyQ', 'b', b, n, k);
          if (k === 0) return new Float64Array(0);
          const [solved] = call({
            name: 'applyQ',
            operands: [r, transpose(b, n, k)],
            peak: 1.3,
            run: (wasm, [upper, vectors]) => wasm.la_solve_upper(n, k, upper!, vectors!),
            results: [1],
          });
          return la.matmul(a, transpose(solved!, k, n), m, n, k);
        },
      };
    },
    inverseCholesky(a, n) {
      checkMatrix('inverseCholesky', 'a', a, n, n);
      if (n === 0) return new Float64Array(0);
      let status: number | undefined;
      const [inverse] = call({
        name: 'inverseCholesky',
        operands: [a],
        peak: 2.1,
        run(wasm, [matrix]) {
          status = wasm.la_inverse_cholesky(n, matrix!);
          return 0;
        },
        results: [0],
      });
      // The column-major lower l⁻¹ is its transpose in rows.
      return status === 0 ? inverse : undefined;
    },
    svd(a, m, n) {
      checkMatrix('svd', 'a', a, m, n);
      const k = Math.min(m, n);
      const scale = safeScale(a);
      const [u, s, v] = call({
        name: 'svd',
        operands: [times(transpose(a, m, n), scale), m * k, k, n * k],
        peak: 4.2,
        run: (wasm, [matrix, left, middle, right]) =>
          wasm.la_svd(m, n, matrix!, left!, middle!, right!),
        results: [1, 2, 3],
      });
      return {
        u: transpose(u!, k, m),
        s: times(s!, 1 / scale),
        v: transpose(v!, k, n),
      };
    },
    matmul(a, b, m, k, n) {
      checkMatrix('matmul', 'a', a, m, k);
      checkMatrix('matmul', 'b', b, k, n);
      if (m === 0 || k === 0 || n === 0) return new Float64Array(m * n);
      const [product] = call({
        name: 'matmul',
        operands: [a, b, m * n],
        peak: 1.1,
        // Row-major c = a b is column-major cᵀ = bᵀ aᵀ.
        run: (wasm, [left, right, out]) => wasm.la_matmul(n, k, m, right!, left!, out!),
        results: [2],
      });
      return product!;
    },
    congruence(t, s, rows, cols) {
      checkMatrix('congruence', 't', t, rows, cols);
      checkMatrix('congruence', 's', s, cols, cols);
      if (rows === 0 || cols === 0) return new Float64Array(rows * rows);
      const [product] = call({
        name: 'congruence',
        operands: [transpose(t, rows, cols), s, rows * rows],
        peak: 1.5,
        run: (wasm, [left, middle, out]) => wasm.la_congruence(rows, cols, left!, middle!, out!),
        results: [2],
      });
      return product!;
    },
  };
  return la;

  function implicitQr(name: string, a: Float64Array, m: number, n: number): ImplicitQr {
    checkMatrix(name, 'a', a, m, n);
    checkTall(name, m, n);
    if (n === 0) return noColumns(m);
    const scale = safeScale(a);
    const [reflectors, coefficients, r] = call({
      name,
      operands: [times(transpose(a, m, n), scale), (wasm) => n * wasm.la_qr_block(m, n), n * n],
      peak: 1.3,
      run: (wasm, [matrix, factors, right]) => wasm.la_qr(m, n, matrix!, factors!, right!),
      results: [0, 1, 2],
    });
    return {
      r: times(transpose(r!, n, n), 1 / scale),
      applyQ(b, k) {
        checkMatrix('applyQ', 'b', b, n, k);
        if (k === 0) return new Float64Array(0);
        const [out] = call({
          name: 'applyQ',
          operands: [reflectors!, coefficients!, transpose(b, n, k), m * k],
          peak: 1.3,
          run: (wasm, [matrix, factors, right, product]) =>
            wasm.la_apply_q(m, n, k, matrix!, factors!, right!, product!),
          results: [3],
        });
        return transpose(out!, k, m);
      },
    };
  }
}

function checkTall(caller: string, m: number, n: number): void {
  if (m < n) throw new RangeError(`${caller}: m must be at least n, got m=${m}, n=${n}.`);
}

function noColumns(m: number): ImplicitQr {
  return { r: new Float64Array(0), applyQ: (_, k) => new Float64Array(m * k) };
}

/**
 * A power of two that brings `a` near 1 where squares of its values would leave float64's range:
 * there faer's eigh and svd do not converge, or converge to wrong values. 1 everywhere else.
 */
function safeScale(a: Float64Array): number {
  let max = 0;
  for (const value of a) max = Math.max(max, Math.abs(value));
  if (max === 0 || (max > 1e-100 && max < 1e100)) return 1;
  // Within 2^±1000, so that its inverse is finite too.
  return 2 ** -Math.max(-1000, Math.min(1000, Math.floor(Math.log2(max))));
}

function times(a: Float64Array, scale: number): Float64Array {
  return scale === 1 ? a : a.map((value) => value * scale);
}

function reverseRows(a: Float64Array, width: number): Float64Array {
  const out = new Float64Array(a.length);
  for (let at = 0; at < a.length; at += width) {
    out.set(a.subarray(at, at + width), a.length - width - at);
  }
  return out;
}
