//! Products of few rows with large matrices, over the memory of TensorFlow.js's wasm backend.
//!
//! The module brings no memory, data or stack of its own: it must not use any, since the backend's own
//! lie in the memory that it is given. Matrices are dense, row by row, `count` of them one after another.
#![no_std]

mod attend;
mod join;
mod lanes;
mod score;
mod sum;

use crate::attend::TILE;
use crate::lanes::{add, fold, load, mul_add, splat, store, ZERO};
use crate::sum::add_weighted;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// out [rows, tokens] = a [rows, width] times the transpose of b [tokens, width].
#[no_mangle]
pub unsafe extern "C" fn dots(
    count: usize,
    rows: usize,
    tokens: usize,
    width: usize,
    a: *const f32,
    b: *const f32,
    out: *mut f32,
) {
    for i in 0..count {
        let a = a.add(i * rows * width);
        let b = b.add(i * tokens * width);
        let out = out.add(i * rows * tokens);
        for t in 0..tokens {
            let vector = b.add(t * width);
            for r in 0..rows {
                *out.add(r * tokens + t) = dot(a.add(r * width), vector, width);
            }
        }
    }
}

#[inline(always)]
unsafe fn dot(a: *const f32, b: *const f32, width: usize) -> f32 {
    let (mut s0, mut s1, mut s2, mut s3) = (ZERO, ZERO, ZERO, ZERO);
    let mut c = 0;
    while c + 16 <= width {
        s0 = mul_add(load(a.add(c)), load(b.add(c)), s0);
        s1 = mul_add(load(a.add(c + 4)), load(b.add(c + 4)), s1);
        s2 = mul_add(load(a.add(c + 8)), load(b.add(c + 8)), s2);
        s3 = mul_add(load(a.add(c + 12)), load(b.add(c + 12)), s3);
        c += 16;
    }
    while c + 4 <= width {
        s0 = mul_add(load(a.add(c)), load(b.add(c)), s0);
        c += 4;
    }
    let mut sum = fold(add(add(s0, s1), add(s2, s3)));
    while c < width {
        sum += *a.add(c) * *b.add(c);
        c += 1;
    }
    sum
}

/// out [rows, width] = a [rows, tokens] times b [tokens, width].
#[no_mangle]
pub unsafe extern "C" fn sums(
    count: usize,
    rows: usize,
    tokens: usize,
    width: usize,
    a: *const f32,
    b: *const f32,
    out: *mut f32,
) {
    for i in 0..count {
        let a = a.add(i * rows * tokens);
        let b = b.add(i * tokens * width);
        let out = out.add(i * rows * width);
        for j in 0..rows * width {
            *out.add(j) = 0.0;
        }
        if rows > 1 {
            let mut t = 0;
            while t < tokens {
                let some = if tokens - t < TILE { tokens - t } else { TILE };
                let (a, b) = (a.add(t), b.add(t * width));
                add_weighted(rows, some, width, a, tokens, b, out);
                t += TILE;
            }
            continue;
        }
        // Four vectors at once, so that the sums are read and written once for them.
        let mut t = 0;
        while t + 4 <= tokens {
            add_four(a.add(t), b.add(t * width), out, width);
            t += 4;
        }
        while t < tokens {
            add_one(*a.add(t), b.add(t * width), out, width);
            t += 1;
        }
    }
}

#[inline(always)]
unsafe fn add_four(a: *const f32, b: *const f32, out: *mut f32, width: usize) {
    let (b1, b2, b3) = (b.add(width), b.add(2 * width), b.add(3 * width));
    let (a0, a1, a2, a3) = (*a, *a.add(1), *a.add(2), *a.add(3));
    let (v0, v1) = (splat(a0), splat(a1));
    let (v2, v3) = (splat(a2), splat(a3));
    let mut c = 0;
    while c + 4 <= width {
        let mut sum = load(out.add(c));
        sum = mul_add(v0, load(b.add(c)), sum);
        sum = mul_add(v1, load(b1.add(c)), sum);
        sum = mul_add(v2, load(b2.add(c)), sum);
        sum = mul_add(v3, load(b3.add(c)), sum);
        store(out.add(c), sum);
        c += 4;
    }
    while c < width {
        *out.add(c) += (a0 * *b.add(c) + a1 * *b1.add(c)) + (a2 * *b2.add(c) + a3 * *b3.add(c));
        c += 1;
    }
}

#[inline(always)]
unsafe fn add_one(a: f32, b: *const f32, out: *mut f32, width: usize) {
    let factor = splat(a);
    let mut c = 0;
    while c + 4 <= width {
        store(
            out.add(c),
            mul_add(factor, load(b.add(c)), load(out.add(c))),
        );
        c += 4;
    }
    while c < width {
        *out.add(c) += a * *b.add(c);
        c += 1;
    }
}
