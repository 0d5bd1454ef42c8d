/** Element types of the safetensors format and their sizes (safetensors/src/tensor.rs, `Dtype`). */

// Bits an element. Types below a byte are packed; their tensors must still fill whole bytes.
const BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  I8: 8,
  U8: 8,
  BF16: 16,
  F16: 16,
  I16: 16,
  U16: 16,
  F32: 32,
  I32: 32,
  U32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

const BITS_BY_NAME: ReadonlyMap<string, number> = new Map(Object.entries(BITS));

/** An element type of safetensors. */
export type Dtype = keyof typeof BITS;

/** Bits of one element. */
export function dtypeBits(dtype: Dtype): number {
  return BITS[dtype];
}

/** Whether `name` is an element type that the format knows. */
export function isDtype(name: unknown): name is Dtype {
  return typeof name === 'string' && BITS_BY_NAME.has(name);
}
