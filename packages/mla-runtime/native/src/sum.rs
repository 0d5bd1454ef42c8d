//! Weighted sums of a tile's values.

use crate::attend::{CHUNK, TILE};
use crate::lanes::{add, load, load_splat, mul_add, on, store, ZERO};

/// sums [rows, width] += weights [rows, TILE] values [tokens, width]
#[inline(never)]
pub unsafe fn add_values(
    rows: usize,
    tokens: usize,
    width: usize,
    weights: *const f32,
    values: *const f32,
    sums: *mut f32,
) {
    add_weighted(rows, tokens, width, weights, TILE, values, sums);
}

/// The same of weights that lie `step` from row to row. The values are read anew for each four rows and
/// eight columns: they should be in a cache of the processor.
#[inline(always)]
pub unsafe fn add_weighted(
    rows: usize,
    tokens: usize,
    width: usize,
    weights: *const f32,
    step: usize,
    values: *const f32,
    sums: *mut f32,
) {
    let mut from = 0;
    while from < width {
        let some = if width - from < CHUNK {
            width - from
        } else {
            CHUNK
        };
        let mut r = 0;
        while r < rows {
            let (w, x, y) = (
                weights.add(r * step),
                values.add(from),
                sums.add(r * width + from),
            );
            match rows - r {
                1 => sum::<1, 8>(tokens, some, width, w, step, x, y),
                2 => sum::<2, 4>(tokens, some, width, w, step, x, y),
                3 => sum::<3, 2>(tokens, some, width, w, step, x, y),
                _ => sum::<4, 2>(tokens, some, width, w, step, x, y),
            }
            r += 4;
        }
        from += some;
    }
}

/// Of R rows, V times four values at a time.
#[inline(always)]
unsafe fn sum<const R: usize, const V: usize>(
    tokens: usize,
    width: usize,
    stride: usize,
    weights: *const f32,
    step: usize,
    values: *const f32,
    sums: *mut f32,
) {
    let mut c = 0;
    while c + 4 * V <= width {
        sum_lanes::<R, V>(tokens, stride, weights, step, values.add(c), sums.add(c));
        c += 4 * V;
    }
    while c + 4 <= width {
        sum_lanes::<R, 1>(tokens, stride, weights, step, values.add(c), sums.add(c));
        c += 4;
    }
    while c < width {
        for r in 0..R {
            for t in 0..tokens {
                *sums.add(r * stride + c) +=
                    *weights.add(r * step + t) * *values.add(t * stride + c);
            }
        }
        c += 1;
    }
}

#[inline(always)]
unsafe fn sum_lanes<const R: usize, const V: usize>(
    tokens: usize,
    stride: usize,
    weights: *const f32,
    step: usize,
    values: *const f32,
    sums: *mut f32,
) {
    let mut own = [[ZERO; V]; R];
    let (mut w, mut x) = (weights, values);
    let end = weights.add(tokens);
    while w < end {
        let mut v = [ZERO; V];
        for i in 0..V {
            v[i] = load(on(x, 4 * i));
        }
        for r in 0..R {
            let weight = load_splat(on(w, r * step));
            for i in 0..V {
                own[r][i] = mul_add(weight, v[i], own[r][i]);
            }
        }
        w = w.add(1);
        x = x.add(stride);
    }
    for r in 0..R {
        for i in 0..V {
            let at = sums.add(r * stride + 4 * i);
            store(at, add(load(at), own[r][i]));
        }
    }
}
