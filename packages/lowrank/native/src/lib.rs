//! Dense linear algebra in float64 for `@mha2mla/lowrank`, on faer, without imports.
//!
//! Matrices are column-major. The host allocates with `la_alloc`, fills the memory, calls one
//! function and frees everything again; nothing is kept between calls. Functions return 0 on
//! success and 1 when the decomposition does not converge.

use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::evd::tridiag::{tridiag_in_place, tridiag_in_place_scratch};
use faer::linalg::evd::{self_adjoint_evd_scratch, tridiagonal_self_adjoint_evd, ComputeEigenvectors};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch as apply_q_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as apply_q,
};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::prelude::{Reborrow, ReborrowMut};
use faer::{Accum, Conj, Mat, MatMut, MatRef, Par};
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

/// Scratch memory; a trap where there is none, which the host turns into an error.
fn buffer(size: StackReq) -> MemBuffer {
    MemBuffer::try_new(size).expect("memory for scratch")
}

/// All eigenvalues of a symmetric n x n matrix, ascending, and the vectors of the `r` largest:
/// turning only those back from the tridiagonal form saves up to a third of the whole. They take
/// the place of the matrix's first r columns, in ascending order.
///
/// # Safety
/// `a` holds n * n values, `values` n; r is at most n.
#[no_mangle]
pub unsafe extern "C" fn la_eigh(n: usize, r: usize, a: *mut f64, values: *mut f64) -> i32 {
    if n == 0 {
        return 0;
    }
    if n == 1 {
        *values = *a;
        *a = 1.0;
        return 0;
    }
    let block = recommended_block_size::<f64>(n, n);
    let mut reflectors = matrix_mut(a, n, n);
    let mut coefficients = Mat::<f64>::zeros(block, n - 1);
    let vectors = ComputeEigenvectors::Yes;
    let scratch = self_adjoint_evd_scratch::<f64>(n, vectors, Par::Seq, Default::default())
        .or(tridiag_in_place_scratch::<f64>(n, Par::Seq, Default::default()))
        .or(apply_q_scratch::<f64>(n - 1, block, r));
    let mut buffer = buffer(scratch);
    tridiag_in_place(
        reflectors.rb_mut(),
        coefficients.as_mut(),
        Par::Seq,
        MemStack::new(&mut buffer),
        Default::default(),
    );
    let mut diagonal = faer::diag::Diag::<f64>::zeros(n);
    let mut below = faer::diag::Diag::<f64>::zeros(n);
    for i in 0..n {
        diagonal[i] = reflectors[(i, i)];
        if i + 1 < n {
            below[i] = reflectors[(i + 1, i)];
        }
    }
    let mut u = Mat::<f64>::zeros(n, n);
    let mut s = faer::diag::Diag::<f64>::zeros(n);
    let found = tridiagonal_self_adjoint_evd(
        diagonal.as_ref(),
        below.as_ref(),
        s.as_mut(),
        Some(u.as_mut()),
        Par::Seq,
        MemStack::new(&mut buffer),
        Default::default(),
    );
    if found.is_err() {
        return 1;
    }
    for i in 0..n {
        *values.add(i) = s[i];
    }
    let mut kept = u.as_mut().subcols_mut(n - r, r);
    apply_q(
        reflectors.rb().submatrix(1, 0, n - 1, n - 1),
        coefficients.as_ref(),
        Conj::No,
        kept.rb_mut().subrows_mut(1, n - 1),
        Par::Seq,
        MemStack::new(&mut buffer),
    );
    matrix_mut(a, n, r).copy_from(kept);
    0
}

/// QR of an m x n matrix, m >= n: r is n x n; `a` and `coefficients` then hold q as reflectors.
///
/// # Safety
/// `a` holds m * n values, `coefficients` n * la_qr_block(m, n), `r` n * n.
#[no_mangle]
pub unsafe extern "C" fn la_qr(
    m: usize,
    n: usize,
    a: *mut f64,
    coefficients: *mut f64,
    r: *mut f64,
) {
    let block = la_qr_block(m, n);
    let mut reflectors = matrix_mut(a, m, n);
    let mut buffer = buffer(qr_in_place_scratch::<f64>(m, n, block, Par::Seq, Default::default()));
    qr_in_place(
        reflectors.rb_mut(),
        matrix_mut(coefficients, block, n),
        Par::Seq,
        MemStack::new(&mut buffer),
        Default::default(),
    );
    let mut r = matrix_mut(r, n, n);
    r.fill(0.0);
    for j in 0..n {
        for i in 0..=j {
            r[(i, j)] = reflectors[(i, j)];
        }
    }
}

/// Rows of the coefficients of `la_qr`.
#[no_mangle]
pub extern "C" fn la_qr_block(m: usize, n: usize) -> usize {
    recommended_block_size::<f64>(m, n)
}

/// q b for the q [m, n] of `la_qr` and b [n, k]: out is m x k.
///
/// # Safety
/// The pointers hold that many values.
#[no_mangle]
pub unsafe extern "C" fn la_apply_q(
    m: usize,
    n: usize,
    k: usize,
    reflectors: *const f64,
    coefficients: *const f64,
    b: *const f64,
    out: *mut f64,
) {
    let block = la_qr_block(m, n);
    let mut out = matrix_mut(out, m, k);
    out.fill(0.0);
    out.rb_mut().subrows_mut(0, n).copy_from(matrix(b, n, k));
    let mut buffer = buffer(apply_q_scratch::<f64>(m, block, k));
    apply_q(
        matrix(reflectors, m, n),
        matrix(coefficients, block, n),
        Conj::No,
        out,
        Par::Seq,
        MemStack::new(&mut buffer),
    );
}

/// The r of `la_qr` by Cholesky of a'a: half the work, but the square of the condition. Returns 1
/// where that, |r|^2 |r^-1|^2, is above `limit` or a'a is not positive definite.
///
/// # Safety
/// `a` holds m * n values, `r` n * n.
#[no_mangle]
pub unsafe extern "C" fn la_cholesky_qr(
    m: usize,
    n: usize,
    limit: f64,
    a: *const f64,
    r: *mut f64,
) -> i32 {
    let a = matrix(a, m, n);
    let mut gram = Mat::<f64>::zeros(n, n);
    triangular::matmul(
        gram.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        a.transpose(),
        BlockStructure::Rectangular,
        a,
        BlockStructure::Rectangular,
        1.0,
        Par::Seq,
    );
    let trace: f64 = (0..n).map(|i| gram[(i, i)]).sum();
    let mut buffer = buffer(cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default()));
    let stack = MemStack::new(&mut buffer);
    if cholesky_in_place(gram.as_mut(), Default::default(), Par::Seq, stack, Default::default()).is_err() {
        return 1;
    }
    let mut r = matrix_mut(r, n, n);
    r.fill(0.0);
    for j in 0..n {
        for i in 0..=j {
            r[(i, j)] = gram[(j, i)];
        }
    }
    let condition = trace * inverse_square(r.rb());
    i32::from(!(condition <= limit))
}

/// |r^-1|^2 of an upper triangular r, by inverse iteration from a vector without symmetries: from
/// below, close to it after a few rounds.
fn inverse_square(r: MatRef<'_, f64>) -> f64 {
    let n = r.nrows();
    let mut x = Mat::<f64>::from_fn(n, 1, |i, _| ((i + 1) as f64).sin());
    let mut growth = 0.0;
    for _ in 0..6 {
        let length = x.norm_l2();
        for i in 0..n {
            x[(i, 0)] /= length;
        }
        solve_lower_triangular_in_place(r.transpose(), x.as_mut(), Par::Seq);
        solve_upper_triangular_in_place(r, x.as_mut(), Par::Seq);
        growth = x.norm_l2();
    }
    growth
}

/// l^-1 for a = l l', of which the lower triangle is read, in the place of a; 0 above the diagonal.
/// Returns 1 where a is not positive definite.
///
/// # Safety
/// `a` holds n * n values.
#[no_mangle]
pub unsafe extern "C" fn la_inverse_cholesky(n: usize, a: *mut f64) -> i32 {
    let mut l = matrix(a, n, n).to_owned();
    let mut buffer = buffer(cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default()));
    let stack = MemStack::new(&mut buffer);
    if cholesky_in_place(l.as_mut(), Default::default(), Par::Seq, stack, Default::default()).is_err() {
        return 1;
    }
    let mut inverse = matrix_mut(a, n, n);
    inverse.fill(0.0);
    invert_lower_triangular(inverse, l.as_ref(), Par::Seq);
    0
}

/// b = r^-1 b for an upper triangular r [n, n] and b [n, k].
///
/// # Safety
/// The pointers hold that many values.
#[no_mangle]
pub unsafe extern "C" fn la_solve_upper(n: usize, k: usize, r: *const f64, b: *mut f64) {
    solve_upper_triangular_in_place(matrix(r, n, n), matrix_mut(b, n, k), Par::Seq);
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

/// m = t s t' [rows, rows] for a symmetric s [cols, cols], of which the lower triangle is read.
///
/// With s = l + l', l its lower triangle with half the diagonal, m = b t' + t b' for b = t l:
/// a product with a triangle costs half, and rows are fewer than cols. An upper triangular t, as QR
/// gives it, costs half of that again.
///
/// # Safety
/// `t` holds rows * cols values, `s` cols * cols (its diagonal is overwritten), `m` rows * rows.
#[no_mangle]
pub unsafe extern "C" fn la_congruence(
    rows: usize,
    cols: usize,
    t: *const f64,
    s: *mut f64,
    m: *mut f64,
) {
    let t = matrix(t, rows, cols);
    let triangular = rows == cols && (0..cols).all(|j| (j + 1..rows).all(|i| t[(i, j)] == 0.0));
    let (shape, transposed) = if triangular {
        (BlockStructure::TriangularUpper, BlockStructure::TriangularLower)
    } else {
        (BlockStructure::Rectangular, BlockStructure::Rectangular)
    };
    let mut s = matrix_mut(s, cols, cols);
    for i in 0..cols {
        s[(i, i)] /= 2.0;
    }
    let mut b = Mat::<f64>::zeros(rows, cols);
    triangular::matmul(
        b.as_mut(),
        BlockStructure::Rectangular,
        Accum::Replace,
        t,
        shape,
        s.rb(),
        BlockStructure::TriangularLower,
        1.0,
        Par::Seq,
    );
    let mut m = matrix_mut(m, rows, rows);
    triangular::matmul(
        m.rb_mut(),
        BlockStructure::Rectangular,
        Accum::Replace,
        b.as_ref(),
        BlockStructure::Rectangular,
        t.transpose(),
        transposed,
        1.0,
        Par::Seq,
    );
    for i in 0..rows {
        for j in 0..=i {
            let sum = m[(i, j)] + m[(j, i)];
            m[(i, j)] = sum;
            m[(j, i)] = sum;
        }
    }
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
