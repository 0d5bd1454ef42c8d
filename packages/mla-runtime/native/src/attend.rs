//! Attention of a few queries to cached vectors in one pass: tile by tile of tokens, scores, a running
//! softmax and the weighted sum of values, while the tile is in a cache of the processor.

use crate::lanes::{add, exp, exp_one, fold, load, max, max_of, splat, store, sub, ZERO};
use crate::score::add_scores;
use crate::sum::add_values;

/// Values of a vector that are scored or summed at a time: those of all rows stay in the first cache.
pub const CHUNK: usize = 256;
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

#[inline(always)]
unsafe fn fill(scores: *mut f32, value: f32) {
    for i in 0..TILE / 4 {
        store(scores.add(4 * i), splat(value));
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
