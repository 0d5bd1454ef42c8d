//! Dense linear algebra in float64 for `@mha2mla/lowrank`, on faer, without imports.
//!
//! Matrices are column-major. The host allocates with `la_alloc`, fills the memory, calls one
//! function and frees everything again; nothing is kept between calls. Functions return 0 on
//! success and 1 when the decomposition does not converge.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par, Side};
use std::alloc::{alloc, dealloc, Layout};

const ALIGN: usize = 64;

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(1), ALIGN).ok()
}

/// Allocate `bytes`; null when there is no memory.
#[no_mangle]
pub extern "C" fn la_alloc(bytes: usize) -> *mut u8 {
    match layout(bytes) {
        Some(layout) => unsafe { alloc(layout) },
        None => std::ptr::null_mut(),
    }
}

/// Free what `la_alloc(bytes)` gave.
///
/// # Safety
/// `pointer` came from `la_alloc` with the same `bytes`.
#[no_mangle]
pub unsafe extern "C" fn la_free(pointer: *mut u8, bytes: usize) {
    if let Some(layout) = layout(bytes) {
        dealloc(pointer, layout);
    }
}

unsafe fn matrix<'a>(data: *const f64, rows: usize, cols: usize) -> MatRef<'a, f64> {
    MatRef::from_column_major_slice(std::slice::from_raw_parts(data, rows * cols), rows, cols)
}

unsafe fn matrix_mut<'a>(data: *mut f64, rows: usize, cols: usize) -> MatMut<'a, f64> {
    MatMut::from_column_major_slice_mut(
        std::slice::from_raw_parts_mut(data, rows * cols),
        rows,
        cols,
    )
}

/// Eigenvalues (ascending) and vectors of a symmetric n x n matrix; vectors overwrite it.
///
/// # Safety
/// `a` holds n * n values, `values` n.
#[no_mangle]
pub unsafe extern "C" fn la_eigh(n: usize, a: *mut f64, values: *mut f64) -> i32 {
    let Ok(eigen) = matrix(a, n, n).self_adjoint_eigen(Side::Lower) else {
        return 1;
    };
    let diagonal = eigen.S().column_vector();
    for i in 0..n {
        *values.add(i) = diagonal[i];
    }
    matrix_mut(a, n, n).copy_from(eigen.U());
    0
}

/// Thin QR of an m x n matrix, m >= n: q is m x n, r is n x n.
///
/// # Safety
/// `a` and `q` hold m * n values, `r` n * n.
#[no_mangle]
pub unsafe extern "C" fn la_qr(m: usize, n: usize, a: *const f64, q: *mut f64, r: *mut f64) -> i32 {
    let qr = matrix(a, m, n).qr();
    matrix_mut(q, m, n).copy_from(qr.compute_thin_Q());
    matrix_mut(r, n, n).copy_from(qr.thin_R());
    0
}

/// Thin SVD of an m x n matrix, k = min(m, n): u is m x k, s has k values, v is n x k.
///
/// # Safety
/// The pointers hold that many values.
#[no_mangle]
pub unsafe extern "C" fn la_svd(
    m: usize,
    n: usize,
    a: *const f64,
    u: *mut f64,
    s: *mut f64,
    v: *mut f64,
) -> i32 {
    let Ok(svd) = matrix(a, m, n).thin_svd() else {
        return 1;
    };
    let k = m.min(n);
    matrix_mut(u, m, k).copy_from(svd.U());
    matrix_mut(v, n, k).copy_from(svd.V());
    let diagonal = svd.S().column_vector();
    for i in 0..k {
        *s.add(i) = diagonal[i];
    }
    0
}

/// c = a b, for a m x k, b k x n, c m x n.
///
/// # Safety
/// The pointers hold that many values, and c overlaps neither a nor b.
#[no_mangle]
pub unsafe extern "C" fn la_matmul(
    m: usize,
    k: usize,
    n: usize,
    a: *const f64,
    b: *const f64,
    c: *mut f64,
) {
    matmul(
        matrix_mut(c, m, n),
        Accum::Replace,
        matrix(a, m, k),
        matrix(b, k, n),
        1.0,
        Par::Seq,
    );
}
