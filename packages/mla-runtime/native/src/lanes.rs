//! Four f32 at a time.

use core::arch::wasm32::{
    f32x4, f32x4_extract_lane, f32x4_lt, f32x4_mul as mul, i32x4_add, i32x4_shl, i32x4_shuffle,
    i32x4_splat, v128_andnot, v128_load, v128_load32_splat, v128_store,
};
pub use core::arch::wasm32::{
    f32x4_add as add, f32x4_pmax as max, f32x4_splat as splat, f32x4_sub as sub, v128,
};

pub const ZERO: v128 = f32x4(0.0, 0.0, 0.0, 0.0);

#[inline(always)]
pub unsafe fn load(x: *const f32) -> v128 {
    v128_load(x as *const v128)
}

#[inline(always)]
pub unsafe fn load_splat(x: *const f32) -> v128 {
    v128_load32_splat(x as *const u32)
}

#[inline(always)]
pub unsafe fn store(x: *mut f32, value: v128) {
    v128_store(x as *mut v128, value)
}

#[inline(always)]
pub fn mul_add(a: v128, b: v128, c: v128) -> v128 {
    add(c, mul(a, b))
}

#[inline(always)]
pub fn first_lane(x: v128) -> f32 {
    f32x4_extract_lane::<0>(x)
}

/// Sum of the lanes.
#[inline(always)]
pub fn fold(x: v128) -> f32 {
    (f32x4_extract_lane::<0>(x) + f32x4_extract_lane::<1>(x))
        + (f32x4_extract_lane::<2>(x) + f32x4_extract_lane::<3>(x))
}

/// Largest lane; NaN where one is.
#[inline(always)]
pub fn max_of(x: v128) -> f32 {
    let pairs = max(x, i32x4_shuffle::<2, 3, 0, 1>(x, x));
    first_lane(max(pairs, i32x4_shuffle::<1, 0, 3, 2>(pairs, pairs)))
}

/// The sums of four vectors' lanes.
#[inline(always)]
pub fn four_sums(a: v128, b: v128, c: v128, d: v128) -> v128 {
    let ab = add(
        i32x4_shuffle::<0, 4, 1, 5>(a, b),
        i32x4_shuffle::<2, 6, 3, 7>(a, b),
    );
    let cd = add(
        i32x4_shuffle::<0, 4, 1, 5>(c, d),
        i32x4_shuffle::<2, 6, 3, 7>(c, d),
    );
    add(
        i32x4_shuffle::<0, 1, 4, 5>(ab, cd),
        i32x4_shuffle::<2, 3, 6, 7>(ab, cd),
    )
}

/// e^x for x <= 0, within 2 units of the last place; 0 below -87 (Cephes' expf).
#[inline(always)]
pub fn exp(x: v128) -> v128 {
    let least = splat(-87.0);
    let below = f32x4_lt(x, least);
    let x = max(x, least);
    // Of this size a float has no room for fractions: its last bits are the whole number.
    let whole = splat(12_582_912.0);
    let shifted = add(mul(x, splat(core::f32::consts::LOG2_E)), whole);
    let n = sub(shifted, whole);
    let r = sub(x, mul(n, splat(0.693_359_375)));
    let r = sub(r, mul(n, splat(-2.121_944_4e-4)));
    let mut p = splat(1.987_569_1e-4);
    for factor in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        5.000_000_1e-1,
    ] {
        p = mul_add(p, r, splat(factor));
    }
    let p = add(mul_add(p, mul(r, r), r), splat(1.0));
    let power = i32x4_shl(i32x4_add(shifted, i32x4_splat(127)), 23);
    v128_andnot(mul(p, power), below)
}
