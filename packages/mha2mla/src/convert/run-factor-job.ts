/**
 * One factorisation of a layer: a pure function of values that a thread can be sent. A layer has
 * several (a modality, a group of heads, keys or values), none of which needs another.
 */
import {
  type Factors,
  factorize,
  jointFactors,
  type LinearAlgebra,
  type Outputs,
} from '@mha2mla/lowrank';

export interface FactorJob {
  /** What a failure names, such as `layer 3, vision, group 2 of 8`. */
  name: string;
  /** What shares the latent, rows [dK, dIn] of keys, [dV, dIn] of values, or both. */
  key?: Outputs;
  value?: Outputs;
  dIn: number;
  /** Second moment of the inputs, [dIn, dIn]. Default the identity. */
  moment?: Float64Array;
  /** Their mean, [dIn], where the moment is of what is left without it. */
  mean?: Float64Array;
  /** KV heads that the latent serves. */
  heads: number;
  /** Of the latent. */
  rank: number;
}

export interface FactorResult extends Pick<Factors, 'energy' | 'error' | 'eigenvalues'> {
  /** [rank, dIn]. */
  down: Float64Array;
  /** [dK, rank], where keys share the latent. */
  upK?: Float64Array;
  /** [dV, rank], where values do. */
  upV?: Float64Array;
  /** Where a mean was given: what is to be added to the keys, [dK], and to the values, [dV]. */
  offsetK?: Float64Array;
  offsetV?: Float64Array;
}

/** Runs the jobs of a layer, here or in threads. @returns their results, in the jobs' order. */
export type FactorRunner = (
  jobs: readonly FactorJob[],
  signal?: AbortSignal,
) => Promise<FactorResult[]>;

/** @throws Error naming the job. */
export function runFactorJob(la: LinearAlgebra, job: FactorJob): FactorResult {
  try {
    return factors(la, job);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`factor of ${job.name}: ${why}`, { cause });
  }
}

function factors(la: LinearAlgebra, job: FactorJob): FactorResult {
  const { key, value, dIn, moment, mean, rank } = job;
  if (key && value) {
    const { eigenvalues, ...joint } = jointFactors(la, { key, value, dIn, moment, mean, rank });
    return { ...joint, eigenvalues: eigenvalues[0]! };
  }
  const only = key ?? value;
  if (!only) throw new Error('expected keys or values, got neither.');
  const { up, offset, ...factors } = factorize(la, { ...only, dIn, moment, mean, rank });
  return key ? { ...factors, upK: up, offsetK: offset } : { ...factors, upV: up, offsetV: offset };
}
