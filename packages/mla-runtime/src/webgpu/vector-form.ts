/**
 * How a recorded step stores a vector: as f32, or in the packed form of kv-quant
 * (docs/packed-form.md), of which it takes halves and affine codes of a token's channels.
 */
import type { QuantSpec } from '@mha2mla/kv-quant';

export interface VectorForm {
  method: 'f32' | 'half' | 'affine';
  /** Of a value. */
  bits: 2 | 3 | 4 | 8 | 16 | 32;
  /** Channels that share a scale and a zero point, of affine. */
  groupSize: number;
}

export const F32_FORM: VectorForm = { method: 'f32', bits: 32, groupSize: 0 };

/** @param spec of the cache; none of exact vectors. @returns undefined where a step cannot store so. */
export function vectorForm(spec: QuantSpec | undefined): VectorForm | undefined {
  if (!spec) return F32_FORM;
  if (spec.method === 'half') return { method: 'half', bits: 16, groupSize: 0 };
  if (spec.method !== 'affine' || spec.axis === 'channel') return undefined;
  return { method: 'affine', bits: spec.bits, groupSize: spec.groupSize ?? 32 };
}

/** Words of a vector's codes, or of its values. */
export function storedWords({ bits }: VectorForm, width: number): number {
  return Math.ceil((width * bits) / 32);
}

/** Words of a vector's scales and zero points. */
export function paramWords({ method, groupSize }: VectorForm, width: number): number {
  return method === 'affine' ? Math.ceil(width / groupSize) : 0;
}

export function formKey({ method, bits, groupSize }: VectorForm): string {
  return `${method}${bits}/${groupSize}`;
}
