/**
 * Quotients and products of numbers near the least float32, in WGSL: a device may take subnormal
 * numbers for 0, so groups of small ones are computed 2^100 times as large, by their bits.
 */
export const SMALL_FLOAT = /* wgsl */ `
/** Below 2^-26, so that 2^100 times as much is finite. */
fn is_small(magnitude : u32) -> bool { return magnitude < 0x32800000u; }

/** Of the bits of a float32: 2^100 times that, or that. */
fn lifted(bits : u32, small : bool) -> f32 {
  if (!small) { return bitcast<f32>(bits); }
  let sign = bits & 0x80000000u;
  let magnitude = bits & 0x7fffffffu;
  var lifted = bitcast<u32>(f32(magnitude) * 0x1p-49f); // of a subnormal
  if (magnitude >= 0x00800000u) { lifted = magnitude + (100u << 23u); }
  return bitcast<f32>(sign | lifted);
}

/** The bits of the float32 nearest to what \`lifted\` made larger. */
fn lowered(value : f32, small : bool) -> u32 {
  let bits = bitcast<u32>(value);
  if (!small) { return bits; }
  let sign = bits & 0x80000000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > (100u << 23u) + 0x007fffffu) { return sign | (magnitude - (100u << 23u)); }
  return sign | u32(round(abs(value) * 0x1p49f)); // subnormal
}
`;
