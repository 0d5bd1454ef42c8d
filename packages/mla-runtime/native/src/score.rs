//! Scores of a tile's tokens.

use crate::attend::{CHUNK, TILE};
use crate::lanes::{add, first_lane, four_sums, load, mul_add, on, store, v128, ZERO};

/// scores [rows, TILE] += query [rows, width] vectorsᵀ + turned [rows, key_width] keysᵀ
#[inline(never)]
pub unsafe fn add_scores(
    rows: usize,
    tokens: usize,
    width: usize,
    query: *const f32,
    vectors: *const f32,
    key_width: usize,
    turned: *const f32,
    keys: *const f32,
    scores: *mut f32,
) {
    let (width, query, vectors, key_width) = if width == 0 {
        (key_width, turned, keys, 0)
    } else {
        (width, query, vectors, key_width)
    };
    let add = match width {
        64 => add_strided::<64>,
        128 => add_strided::<128>,
        _ => add_strided::<0>,
    };
    add(
        rows, tokens, width, query, vectors, key_width, turned, keys, scores,
    );
}

/// STRIDE is the width, or 0: known, it makes one address of the four of tokens side by side.
#[inline(never)]
unsafe fn add_strided<const STRIDE: usize>(
    rows: usize,
    tokens: usize,
    width: usize,
    query: *const f32,
    vectors: *const f32,
    key_width: usize,
    turned: *const f32,
    keys: *const f32,
    scores: *mut f32,
) {
    let stride = if STRIDE > 0 { STRIDE } else { width };
    let mut key_width = key_width;
    let mut from = 0;
    while from < width {
        let some = if width - from < CHUNK {
            width - from
        } else {
            CHUNK
        };
        let mut t = 0;
        while t < tokens {
            let count = if tokens - t < 4 { tokens - t } else { 4 };
            let v = vectors.add(t * stride + from);
            let k = keys.add(t * key_width);
            touch(count, some, stride, v);
            touch(count, key_width, key_width, k);
            let mut r = 0;
            while r < rows {
                let q = query.add(r * stride + from);
                let u = turned.add(r * key_width);
                let s = scores.add(r * TILE + t);
                if count < 4 {
                    for i in 0..count {
                        let (v, k) = (v.add(i * stride), k.add(i * key_width));
                        score_one(some, stride, q, v, key_width, u, k, s.add(i));
                    }
                    r += 1;
                } else if rows - r == 1 {
                    score::<1, 4>(some, stride, q, v, key_width, u, k, s);
                    r += 1;
                } else {
                    score::<2, 4>(some, stride, q, v, key_width, u, k, s);
                    r += 2;
                }
            }
            t += 4;
        }
        from += some;
        key_width = 0; // scored with the first
    }
}

/// Read each line of the processor's cache in the order of memory, as it is fetched ahead in, which it is
/// not where four vectors are read side by side. Volatile, so that it is done.
#[inline(always)]
unsafe fn touch(count: usize, width: usize, stride: usize, vectors: *const f32) {
    for i in 0..count {
        let mut c = 0;
        while c < width {
            core::ptr::read_volatile(vectors.add(i * stride + c));
            c += 16;
        }
    }
}

/// Of R rows with T tokens. A token's score is the same to the bit whatever R and T are.
#[inline(always)]
unsafe fn score<const R: usize, const T: usize>(
    width: usize,
    stride: usize,
    query: *const f32,
    vectors: *const f32,
    key_width: usize,
    turned: *const f32,
    keys: *const f32,
    scores: *mut f32,
) {
    let mut sums = [[ZERO; T]; R];
    multiply(key_width, key_width, turned, keys, &mut sums);
    multiply(width, stride, query, vectors, &mut sums);
    for r in 0..R {
        let at = scores.add(r * TILE);
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| sums[r][if i < T { i } else { 0 }]);
        let four = four_sums(a, b, c, d);
        if T == 4 {
            store(at, add(load(at), four));
        } else {
            *at += first_lane(four);
        }
    }
    if key_width % 4 > 0 {
        multiply_rest(R, T, key_width, key_width, turned, keys, scores);
    }
    if width % 4 > 0 {
        multiply_rest(R, T, width, stride, query, vectors, scores);
    }
}

/// Four values a turn: of more, the engine's compiler puts half of them aside in memory.
#[inline(always)]
unsafe fn multiply<const R: usize, const T: usize>(
    width: usize,
    stride: usize,
    query: *const f32,
    vectors: *const f32,
    sums: &mut [[v128; T]; R],
) {
    let (mut q, mut v) = (query, vectors);
    let end = query.add(width & !3);
    while q < end {
        let mut own = [ZERO; T];
        for i in 0..T {
            own[i] = load(on(v, i * stride));
        }
        for r in 0..R {
            let q = load(on(q, r * stride));
            for i in 0..T {
                sums[r][i] = mul_add(q, own[i], sums[r][i]);
            }
        }
        q = q.add(4);
        v = v.add(4);
    }
}

/// Of one row with one token. Not made anew for each stride, as few tokens come here.
#[inline(never)]
unsafe fn score_one(
    width: usize,
    stride: usize,
    query: *const f32,
    vectors: *const f32,
    key_width: usize,
    turned: *const f32,
    keys: *const f32,
    scores: *mut f32,
) {
    score::<1, 1>(
        width, stride, query, vectors, key_width, turned, keys, scores,
    );
}

/// Where the width is no multiple of four.
#[inline(never)]
unsafe fn multiply_rest(
    rows: usize,
    tokens: usize,
    width: usize,
    stride: usize,
    query: *const f32,
    vectors: *const f32,
    scores: *mut f32,
) {
    for c in width & !3..width {
        for r in 0..rows {
            for i in 0..tokens {
                *scores.add(r * TILE + i) +=
                    *query.add(r * stride + c) * *vectors.add(i * stride + c);
            }
        }
    }
}
