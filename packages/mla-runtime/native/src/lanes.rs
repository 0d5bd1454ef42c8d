//! Four f32 at a time.

use core::arch::wasm32::{
    f32x4, f32x4_extract_lane, f32x4_mul as mul, i32x4_add, i32x4_shl, i32x4_shuffle, i32x4_splat,
    v128_load, v128_load32_splat, v128_store,
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

/// a b + c, in one step where the build may leave it to the processor how that is rounded.
#[inline(always)]
pub fn mul_add(a: v128, b: v128, c: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return core::arch::wasm32::f32x4_relaxed_madd(a, b, c);
    #[cfg(not(target_feature = "relaxed-simd"))]
    return add(c, mul(a, b));
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

/// e^x for x <= 0, within 2e-7 of what it is at most; 0 below -88. As 2^n 2^r of x log2(e) = n + r, 2^r for
/// |r| <= 1/2 by a polynomial, within 9.2e-8 of itself.
#[inline(always)]
pub fn exp(x: v128) -> v128 {
    // At -127 the exponent's bits are those of 0.
    let x = max(mul(x, splat(core::f32::consts::LOG2_E)), splat(-127.0));
    // Of this size a float has no room for fractions: its last bits are the whole number.
    let whole = splat(12_582_912.0);
    let shifted = add(x, whole);
    let r = sub(x, sub(shifted, whole));
    let mut p = splat(1.326_472_7e-3);
    for factor in [
        9.671_513e-3,
        5.550_733_6e-2,
        2.402_224_2e-1,
        6.931_47e-1,
        1.0,
    ] {
        p = mul_add(p, r, splat(factor));
    }
    mul(p, i32x4_shl(i32x4_add(shifted, i32x4_splat(127)), 23))
}

#[inline(always)]
pub fn exp_one(x: f32) -> f32 {
    first_lane(exp(splat(x)))
}

/// The place n values on. Said not to wrap, so that a load or store has a constant n in itself.
#[inline(always)]
pub unsafe fn on(x: *const f32, n: usize) -> *const f32 {
    (x as usize).unchecked_add(4 * n) as *const f32
}
