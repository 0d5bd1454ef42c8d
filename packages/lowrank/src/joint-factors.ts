/**
 * Factors of a layer's keys and values: one latent for both (joint, the default of MHA2MLA), one
 * for each (split), and latents cut by groups of KV heads.
 */
import { checkMatrix } from './check-matrix';
import { checkRank } from './check-rank';
import { errorOf } from './error-of';
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
 * @throws RangeError unless groups divides rank, dK and dV, and a group's rank is at most its rows
 *   and dIn.
 */
export function jointFactors(
  la: LinearAlgebra,
  { key, value, dIn, moment, rank, groups = 1 }: KeyValueInput & { rank: number; groups?: number },
): JointFactors {
  checkOutputs('jointFactors', key, value, dIn);
  checkGroups(groups, { rank, dK: key.dOut, dV: value.dOut });
  const width = rank / groups;
  const [dK, dV] = [key.dOut / groups, value.dOut / groups];
  checkRank('jointFactors', width, dK + dV, dIn);
  const parts = Array.from({ length: groups }, (_, group) =>
    factorize(la, {
      weight: join([rowsOf(key, dIn, group * dK, dK), rowsOf(value, dIn, group * dV, dV)]),
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
    ...errorOf(parts.map(({ eigenvalues }) => ({ eigenvalues, rank: width }))),
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

/**
 * Factor keys and values apart, into a latent of `rank` each.
 * @throws RangeError where rank exceeds dK, dV or dIn.
 */
export function splitFactors(
  la: LinearAlgebra,
  { key, value, dIn, moment, rank }: KeyValueInput & { rank: number },
): SplitFactors {
  checkOutputs('splitFactors', key, value, dIn);
  checkRank('splitFactors', rank, Math.min(key.dOut, value.dOut), dIn);
  const k = factorize(la, { ...key, dIn, moment, rank });
  const v = factorize(la, { ...value, dIn, moment, rank });
  const parts = [k, v].map(({ eigenvalues }) => ({ eigenvalues, rank }));
  return { downK: k.down, upK: k.up, downV: v.down, upV: v.up, ...errorOf(parts) };
}

function checkOutputs(caller: string, key: Outputs, value: Outputs, dIn: number): void {
  checkMatrix(caller, 'key', key.weight, key.dOut, dIn);
  checkMatrix(caller, 'value', value.weight, value.dOut, dIn);
}

function checkGroups(groups: number, sizes: Record<string, number>): void {
  if (!Number.isSafeInteger(groups) || groups < 1) {
    throw new RangeError(`jointFactors: groups must be an integer of at least 1, got ${groups}.`);
  }
  for (const [name, size] of Object.entries(sizes)) {
    if (size % groups !== 0) {
      throw new RangeError(
        `jointFactors: ${name} must be a multiple of groups=${groups}, got ${size}.`,
      );
    }
  }
}

function rowsOf({ weight }: Outputs, dIn: number, start: number, rows: number) {
  return weight.subarray(start * dIn, (start + rows) * dIn);
}

function join(parts: readonly (Float32Array | Float64Array)[]): Float64Array {
  const out = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}
