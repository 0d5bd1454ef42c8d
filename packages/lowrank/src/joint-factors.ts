/**
 * Factors of a layer's keys and values: one latent for both (joint, the default of MHA2MLA), one
 * for each (split), and latents cut by groups of KV heads.
 */
import { type Factors, factorize } from './factorize';
import type { LinearAlgebra } from './linear-algebra';

export interface Outputs {
  /** [dOut, dIn], row-major; heads one after another. */
  weight: Float32Array | Float64Array;
  dOut: number;
}

export interface KeyValueInput {
  /** Keys that are not rotated, [dK, dIn]; dK may be 0. */
  key: Outputs;
  /** [dV, dIn]. */
  value: Outputs;
  dIn: number;
  /** Second moment of the inputs, [dIn, dIn]. Default the identity. */
  moment?: Float64Array;
}

export interface JointFactors extends Pick<Factors, 'error' | 'relativeError' | 'retainedEnergy'> {
  /** [rank, dIn], group after group. */
  down: Float64Array;
  /** [dK, rank / groups]: a row reads the latent of its own group. */
  upK: Float64Array;
  /** [dV, rank / groups]. */
  upV: Float64Array;
  /** Eigenvalues of each group, descending. */
  eigenvalues: Float64Array[];
}

/**
 * Factor [key; value] into one latent of `rank`, or into `groups` of rank / groups each.
 * @throws RangeError unless groups divides rank, dK and dV.
 */
export function jointFactors(
  la: LinearAlgebra,
  { key, value, dIn, moment, rank, groups = 1 }: KeyValueInput & { rank: number; groups?: number },
): JointFactors {
  for (const [name, size] of Object.entries({ rank, dK: key.dOut, dV: value.dOut })) {
    if (size % groups !== 0) {
      throw new RangeError(
        `jointFactors: ${name} must be a multiple of groups=${groups}, got ${size}.`,
      );
    }
  }
  const width = rank / groups;
  const [dK, dV] = [key.dOut / groups, value.dOut / groups];
  const parts = Array.from({ length: groups }, (_, group) =>
    factorize(la, {
      weight: joinRows(sliceRows(key, dIn, group * dK, dK), sliceRows(value, dIn, group * dV, dV)),
      dOut: dK + dV,
      dIn,
      moment,
      rank: width,
    }),
  );
  return {
    down: join(parts.map(({ down }) => down)),
    upK: join(parts.map(({ up }) => up.subarray(0, dK * width))),
    upV: join(parts.map(({ up }) => up.subarray(dK * width))),
    eigenvalues: parts.map(({ eigenvalues }) => eigenvalues),
    ...sumErrors(parts),
  };
}

export interface SplitFactors extends Pick<Factors, 'error' | 'relativeError' | 'retainedEnergy'> {
  /** [rank, dIn] and [dK, rank]. */
  downK: Float64Array;
  upK: Float64Array;
  /** [rank, dIn] and [dV, rank]. */
  downV: Float64Array;
  upV: Float64Array;
}

/** Factor keys and values apart, into a latent of `rank` each. */
export function splitFactors(
  la: LinearAlgebra,
  { key, value, dIn, moment, rank }: KeyValueInput & { rank: number },
): SplitFactors {
  const k = factorize(la, { ...key, dIn, moment, rank });
  const v = factorize(la, { ...value, dIn, moment, rank });
  return { downK: k.down, upK: k.up, downV: v.down, upV: v.up, ...sumErrors([k, v]) };
}

function sliceRows({ weight }: Outputs, dIn: number, start: number, rows: number): Float64Array {
  return Float64Array.from(weight.subarray(start * dIn, (start + rows) * dIn));
}

function joinRows(a: Float64Array, b: Float64Array): Float64Array {
  return join([a, b]);
}

function join(parts: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

/** Errors of maps that do not overlap add up. */
function sumErrors(parts: readonly Factors[]) {
  const error = parts.reduce((sum, part) => sum + part.error, 0);
  const total = parts.reduce(
    (sum, { eigenvalues }) => sum + eigenvalues.reduce((s, value) => s + Math.max(0, value), 0),
    0,
  );
  const share = total > 0 ? error / total : 0;
  return { error, relativeError: Math.sqrt(share), retainedEnergy: 1 - share };
}
