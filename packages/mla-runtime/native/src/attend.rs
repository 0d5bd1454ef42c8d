//! Attention of a few queries to cached vectors in one pass: tile by tile of tokens, scores, a running
//! softmax and the weighted sum of values, while the tile is in a cache of the processor.

use crate::lanes::{
    add, exp, first_lane, fold, four_sums, load, load_splat, max, max_of, mul_add, on, splat,
    store, sub, v128, ZERO,
};

/// Values of a vector that are scored or summed at a time: those of all rows stay in the first cache.
const CHUNK: usize = 256;
/// Most tokens of a tile.
pub const TILE: usize = 64;
/// Values of a tile, where its vectors are wide.
const TILE_VALUES: usize = 16384;

/// Go on attending with some rows to further tokens of theirs. Rows have `parts` sets of keys, one after
/// another.
///
/// scores = query vectorsᵀ + turned keysᵀ + bias + offset. A width of 0 or a null pointer leaves its
/// term out. `scratch` has room for 64 values a row.
#[no_mangle]
pub unsafe extern "C" fn attend(
    rows: usize,
    tokens: usize,
    width: usize,
    query: *const f32,   // [rows, width]
    vectors: *const f32, // [tokens, width]
    parts: usize,
    key_width: usize,
    turned: *const f32, // [rows, key_width]
    keys: *const f32,   // of each part [tokens, key_width]
    key_stride: usize,  // from part to part
    value_width: usize,
    values: *const f32,  // [tokens, value_width]
    bias: *const f32,    // [rows]
    offset: *const f32,  // [offset_rows, tokens], the first row that of the first token's
    offset_first: usize, // row of the first of rows; beyond the last they begin anew
    offset_rows: usize,
    offset_stride: usize, // from row to row
    largest: *mut f32,    // [rows], scores so far; -inf at first
    totals: *mut f32,     // [rows], weights so far; 0 at first
    sums: *mut f32,       // [rows, value_width], weighted values so far; anything at first
    scratch: *mut f32,
) {
    let widest = if width > value_width {
        width
    } else {
        value_width
    };
    // Of a power of two, so that the same tokens make the same tiles however blocks cut them.
    let mut tile = TILE;
    while tile > 8 && tile * widest > TILE_VALUES {
        tile /= 2;
    }
    let of_part = rows / parts;
    let mut first = 0;
    while first < tokens {
        let count = if tokens - first < tile {
            tokens - first
        } else {
            tile
        };
        for row in 0..rows {
            let start = if bias.is_null() { 0.0 } else { *bias.add(row) };
            let scores = scratch.add(row * TILE);
            if offset.is_null() {
                fill(scores, start);
            } else {
                let own = offset.add((offset_first + row) % offset_rows * offset_stride + first);
                for t in 0..count {
                    *scores.add(t) = start + *own.add(t);
                }
            }
        }
        let own = vectors.add(first * width);
        if parts == 1 {
            let keys = keys.add(first * key_width);
            add_scores(
                rows, count, width, query, own, key_width, turned, keys, scratch,
            );
        } else {
            add_scores(rows, count, width, query, own, 0, turned, keys, scratch);
            for part in 0..parts {
                let at = part * of_part;
                let own = keys.add(part * key_stride + first * key_width);
                let query = turned.add(at * key_width);
                let scores = scratch.add(at * TILE);
                add_scores(of_part, count, key_width, query, own, 0, query, own, scores);
            }
        }
        for row in 0..rows {
            let own = sums.add(row * value_width);
            weigh(
                count,
                scratch.add(row * TILE),
                largest.add(row),
                totals.add(row),
                own,
                value_width,
            );
        }
        add_values(
            rows,
            count,
            value_width,
            scratch,
            values.add(first * value_width),
            sums,
        );
        first += count;
    }
}

/// Arguments of `attend`, in their order.
const ARGUMENTS: usize = 21;

/// Make calls of `attend`, one after another, which from JavaScript take some microseconds each to begin.
#[no_mangle]
pub unsafe extern "C" fn attend_all(count: usize, calls: *const [usize; ARGUMENTS]) {
    for i in 0..count {
        let c = &*calls.add(i);
        attend(
            c[0],
            c[1],
            c[2],
            c[3] as *const f32,
            c[4] as *const f32,
            c[5],
            c[6],
            c[7] as *const f32,
            c[8] as *const f32,
            c[9],
            c[10],
            c[11] as *const f32,
            c[12] as *const f32,
            c[13] as *const f32,
            c[14],
            c[15],
            c[16],
            c[17] as *mut f32,
            c[18] as *mut f32,
            c[19] as *mut f32,
            c[20] as *mut f32,
        );
    }
}

/// What parts of the tokens take part with, whose softmax is one: of each row, scores' largest to the
/// factor of the part's sums, and its weights to their share of all.
#[no_mangle]
pub unsafe extern "C" fn share(
    rows: usize,
    parts: usize,
    largest: *mut f32, // [parts, rows]
    totals: *mut f32,  // [parts, rows]
) {
    for row in 0..rows {
        let mut top = f32::NEG_INFINITY;
        for part in 0..parts {
            top = larger(top, *largest.add(part * rows + row));
        }
        let mut total = 0.0;
        for part in 0..parts {
            let at = part * rows + row;
            *largest.add(at) = exp_one(*largest.add(at) - top);
            total += *largest.add(at) * *totals.add(at);
        }
        for part in 0..parts {
            let at = part * rows + row;
            *largest.add(at) /= total;
            *totals.add(at) *= *largest.add(at);
        }
    }
}

/// Add up what parts gave, in the place of the first: sums [parts, rows, width] by factors [parts, rows],
/// and shares [parts, rows].
#[no_mangle]
pub unsafe extern "C" fn join(
    rows: usize,
    parts: usize,
    width: usize,
    factors: *const f32,
    shares: *mut f32,
    sums: *mut f32,
) {
    for part in 0..parts {
        for row in 0..rows {
            let factor = *factors.add(part * rows + row);
            let own = sums.add((part * rows + row) * width);
            let all = sums.add(row * width);
            for i in 0..width {
                let scaled = *own.add(i) * factor;
                *all.add(i) = if part == 0 {
                    scaled
                } else {
                    *all.add(i) + scaled
                };
            }
            if part > 0 {
                *shares.add(row) += *shares.add(part * rows + row);
            }
        }
    }
}

/// NaN where one is.
fn larger(a: f32, b: f32) -> f32 {
    if a > b {
        a
    } else {
        b
    }
}

#[inline(always)]
unsafe fn fill(scores: *mut f32, value: f32) {
    for i in 0..TILE / 4 {
        store(scores.add(4 * i), splat(value));
    }
}

/// scores [rows, TILE] += query [rows, width] vectorsᵀ + turned [rows, key_width] keysᵀ
#[inline(always)]
unsafe fn add_scores(
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
    if width == 0 {
        add_by_width(
            rows, tokens, key_width, turned, keys, 0, turned, keys, scores,
        );
    } else {
        add_by_width(
            rows, tokens, width, query, vectors, key_width, turned, keys, scores,
        );
    }
}

#[inline(never)]
unsafe fn add_by_width(
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
    match width {
        64 => add_strided::<64>(
            rows, tokens, width, query, vectors, key_width, turned, keys, scores,
        ),
        128 => add_strided::<128>(
            rows, tokens, width, query, vectors, key_width, turned, keys, scores,
        ),
        _ => add_strided::<0>(
            rows, tokens, width, query, vectors, key_width, turned, keys, scores,
        ),
    }
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

/// Scores to weights, less the largest score so far; what was summed before is scaled to it.
#[inline(never)]
unsafe fn weigh(
    tokens: usize,
    scores: *mut f32,
    largest: *mut f32,
    total: *mut f32,
    sums: *mut f32,
    width: usize,
) {
    for t in tokens..(tokens + 3 & !3) {
        *scores.add(t) = f32::NEG_INFINITY;
    }
    let mut most = splat(*largest);
    let mut t = 0;
    while t < tokens {
        most = max(most, load(scores.add(t)));
        t += 4;
    }
    let top = max_of(most);
    if top != *largest {
        let factor = exp_one(*largest - top);
        for c in 0..width {
            *sums.add(c) = if *largest == f32::NEG_INFINITY {
                0.0
            } else {
                *sums.add(c) * factor
            };
        }
        *largest = top;
        *total *= factor;
    }
    let mut sum = ZERO;
    let mut t = 0;
    while t < tokens {
        let weight = exp(sub(load(scores.add(t)), splat(top)));
        store(scores.add(t), weight);
        sum = add(sum, weight);
        t += 4;
    }
    *total += fold(sum);
}

#[inline(always)]
fn exp_one(x: f32) -> f32 {
    first_lane(exp(splat(x)))
}

/// sums [rows, width] += weights [rows, TILE] values [tokens, width]
#[inline(never)]
unsafe fn add_values(
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
