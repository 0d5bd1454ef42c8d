//! Attention of a few queries to cached vectors in one pass: tile by tile of tokens, scores, a running
//! softmax and the weighted sum of values, while the tile is in a cache of the processor.

use crate::lanes::{
    add, exp, first_lane, fold, four_sums, load, load_splat, max, max_of, mul_add, splat, store,
    sub, v128, ZERO,
};

/// Values of a vector that are scored or summed at a time: those of all rows stay in the first cache.
const CHUNK: usize = 256;
/// Most tokens of a tile.
const TILE: usize = 64;
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
    sums: *mut f32,       // [rows, value_width], weighted values so far; 0 at first
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
        add_scores(
            rows,
            count,
            width,
            query,
            vectors.add(first * width),
            scratch,
        );
        for part in 0..parts {
            let at = part * of_part;
            let own = keys.add(part * key_stride + first * key_width);
            let query = turned.add(at * key_width);
            add_scores(
                of_part,
                count,
                key_width,
                query,
                own,
                scratch.add(at * TILE),
            );
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

/// x [rows, width] *= factors [rows]
#[no_mangle]
pub unsafe extern "C" fn scale(rows: usize, width: usize, x: *mut f32, factors: *const f32) {
    for row in 0..rows {
        for i in row * width..(row + 1) * width {
            *x.add(i) *= *factors.add(row);
        }
    }
}

/// y [rows, width] += x [rows, width] * factors [rows]
#[no_mangle]
pub unsafe extern "C" fn add_scaled(
    rows: usize,
    width: usize,
    x: *const f32,
    factors: *const f32,
    y: *mut f32,
) {
    for row in 0..rows {
        for i in row * width..(row + 1) * width {
            *y.add(i) += *x.add(i) * *factors.add(row);
        }
    }
}

#[inline(always)]
unsafe fn fill(scores: *mut f32, value: f32) {
    for i in 0..TILE / 4 {
        store(scores.add(4 * i), splat(value));
    }
}

/// scores [rows, TILE] += query [rows, width] vectorsᵀ
#[inline(never)]
unsafe fn add_scores(
    rows: usize,
    tokens: usize,
    width: usize,
    query: *const f32,
    vectors: *const f32,
    scores: *mut f32,
) {
    let mut from = 0;
    while from < width {
        let some = if width - from < CHUNK {
            width - from
        } else {
            CHUNK
        };
        let mut t = 0;
        while t < tokens {
            // Beyond the last token its scores are computed again; no one reads them.
            let last = tokens - 1;
            let at =
                |i: usize| vectors.add((if t + i < last { t + i } else { last }) * width + from);
            let four = [at(0), at(1), at(2), at(3)];
            touch(four, some);
            let mut r = 0;
            while r + 2 <= rows {
                score::<2>(
                    some,
                    width,
                    query.add(r * width + from),
                    four,
                    scores.add(r * TILE + t),
                );
                r += 2;
            }
            if r < rows {
                score::<1>(
                    some,
                    width,
                    query.add(r * width + from),
                    four,
                    scores.add(r * TILE + t),
                );
            }
            t += 4;
        }
        from += some;
    }
}

/// Read each line of the processor's cache in the order of memory, as it is fetched ahead in, which it is
/// not where four vectors are read side by side. Volatile, so that it is done.
#[inline(always)]
unsafe fn touch(vectors: [*const f32; 4], width: usize) {
    for vector in vectors {
        let mut c = 0;
        while c < width {
            core::ptr::read_volatile(vector.add(c));
            c += 16;
        }
    }
}

/// Of R rows with four tokens.
#[inline(always)]
unsafe fn score<const R: usize>(
    width: usize,
    stride: usize,
    query: *const f32,
    vectors: [*const f32; 4],
    scores: *mut f32,
) {
    let mut sums = [[ZERO; 4]; R];
    let mut c = 0;
    let (mut q, mut v) = (query, vectors);
    while c + 16 <= width {
        for i in 0..4 {
            step(q, stride, v, 4 * i, &mut sums);
        }
        q = q.add(16);
        v = [v[0].add(16), v[1].add(16), v[2].add(16), v[3].add(16)];
        c += 16;
    }
    while c + 4 <= width {
        step(q, stride, v, 0, &mut sums);
        q = q.add(4);
        v = [v[0].add(4), v[1].add(4), v[2].add(4), v[3].add(4)];
        c += 4;
    }
    for r in 0..R {
        let at = scores.add(r * TILE);
        let [a, b, c, d] = sums[r];
        store(at, add(load(at), four_sums(a, b, c, d)));
    }
    while c < width {
        for r in 0..R {
            for i in 0..4 {
                *scores.add(r * TILE + i) += *query.add(r * stride + c) * *vectors[i].add(c);
            }
        }
        c += 1;
    }
}

#[inline(always)]
unsafe fn step<const R: usize>(
    query: *const f32,
    stride: usize,
    vectors: [*const f32; 4],
    at: usize,
    sums: &mut [[v128; 4]; R],
) {
    let v = [
        load(vectors[0].add(at)),
        load(vectors[1].add(at)),
        load(vectors[2].add(at)),
        load(vectors[3].add(at)),
    ];
    for r in 0..R {
        let q = load(query.add(r * stride + at));
        for i in 0..4 {
            sums[r][i] = mul_add(q, v[i], sums[r][i]);
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
        // From nothing (−∞) to 0, too.
        let factor = exp_one(*largest - top);
        *largest = top;
        *total *= factor;
        for c in 0..width {
            *sums.add(c) *= factor;
        }
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
                weights.add(r * TILE),
                values.add(from),
                sums.add(r * width + from),
            );
            match rows - r {
                1 => sum::<1, 8>(tokens, some, width, w, x, y),
                2 => sum::<2, 4>(tokens, some, width, w, x, y),
                3 => sum::<3, 2>(tokens, some, width, w, x, y),
                _ => sum::<4, 2>(tokens, some, width, w, x, y),
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
    values: *const f32,
    sums: *mut f32,
) {
    let mut c = 0;
    while c + 4 * V <= width {
        sum_lanes::<R, V>(tokens, stride, weights, values.add(c), sums.add(c));
        c += 4 * V;
    }
    while c + 4 <= width {
        sum_lanes::<R, 1>(tokens, stride, weights, values.add(c), sums.add(c));
        c += 4;
    }
    while c < width {
        for r in 0..R {
            for t in 0..tokens {
                *sums.add(r * stride + c) +=
                    *weights.add(r * TILE + t) * *values.add(t * stride + c);
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
    values: *const f32,
    sums: *mut f32,
) {
    let mut own = [[ZERO; V]; R];
    for t in 0..tokens {
        let mut v = [ZERO; V];
        for i in 0..V {
            v[i] = load(values.add(t * stride + 4 * i));
        }
        for r in 0..R {
            let weight = load_splat(weights.add(r * TILE + t));
            for i in 0..V {
                own[r][i] = mul_add(weight, v[i], own[r][i]);
            }
        }
    }
    for r in 0..R {
        for i in 0..V {
            let at = sums.add(r * stride + 4 * i);
            store(at, add(load(at), own[r][i]));
        }
    }
}
