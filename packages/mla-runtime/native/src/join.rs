//! One result of what several parts of the tokens gave.

use crate::lanes::exp_one;

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
            let own = *largest.add(part * rows + row);
            // One that is not a number makes all shares so by the total.
            if own > top {
                top = own;
            }
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
