/**
 * How a recorded step stores a vector: as f32, or in the packed form of kv-quant
 * (docs/packed-form.md), of which it takes halves and codes whose scales are of a token's channels, or
 * fixed.
 */
import { bandsOf, type QuantSpec, type StaticSpec } from '@mha2mla/kv-quant';

export interface VectorForm {
  method: 'f32' | 'half' | 'affine' | 'hqq' | 'int8' | 'static';
  /** Of a value, at most. */
  bits: number;
  /** Channels that share a word of params; 0 where there are none. */
  groupSize: number;
  /** Of static. */
  table?: StaticSpec;
}

/** Channels of a group that is the whole vector, or more. */
const WHOLE = 2 ** 31;

export const F32_FORM: VectorForm = { method: 'f32', bits: 32, groupSize: 0 };

/** @param spec of the cache; none of exact vectors. @returns undefined where a step cannot store so. */
export function vectorForm(spec: QuantSpec | undefined): VectorForm | undefined {
  if (!spec) return F32_FORM;
  if (spec.method === 'half') return { method: 'half', bits: 16, groupSize: 0 };
  if (spec.method === 'static') {
    const bits = Math.max(...spec.bands.map((band) => band.bits));
    return { method: 'static', bits, groupSize: 0, table: spec };
  }
  if (spec.method === 'int8')
    return { method: 'int8', bits: 8, groupSize: spec.groupSize ?? WHOLE };
  if (spec.method !== 'affine' && spec.method !== 'hqq') return undefined;
  if (spec.axis === 'channel') return undefined;
  return { method: spec.method, bits: spec.bits, groupSize: spec.groupSize ?? 32 };
}

/** Words of a vector's codes, or of its values. */
export function storedWords(form: VectorForm, width: number): number {
  return bandsOf(form, width).reduce((sum, { words }) => sum + words, 0);
}

/** Words of the scales and zero points that all tokens share. */
export function tableWords({ table }: VectorForm): number {
  return 2 * (table?.scales.length ?? 0);
}

/** Words from one vector's scales to the next one's. */
export function tableStride({ table }: VectorForm, width: number): number {
  return table && table.scales.length > width ? width : 0;
}

/** Words of a vector's params. */
export function paramWords({ groupSize }: VectorForm, width: number): number {
  return groupSize === 0 ? 0 : Math.ceil(width / groupSize);
}

export function formKey({ method, bits, groupSize, table }: VectorForm): string {
  const bands = table?.bands.map((band) => `${band.bits}x${band.channels}`);
  return `${method}${bits}/${groupSize}/${bands}/${table?.scales.length}`;
}
