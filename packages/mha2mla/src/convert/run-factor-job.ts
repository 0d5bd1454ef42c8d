/**
 * One factorisation of a layer: a pure function of values that a thread can be sent. A layer has
 * several (a modality, a group of heads, keys or values), none of which needs another.
 */
import {
  type FactorizeInput,
  type Factors,
  factorize,
  type JointFactors,
  jointFactorsBy,
  type LinearAlgebra,
  type Outputs,
  subspaceFactorize,
} from '@mha2mla/lowrank';

/** A factorisation, as a value that a thread or another machine can be given. */
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
  /** `subspace` needs a backend. Default `exact`. */
  route?: 'exact' | 'subspace';
}

/** Factors that a `FactorJob` asked for, and their errors. */
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

/** Run a job; the subspace route runs on this thread's backend. @throws Error naming the job. */
export async function runFactorJob(la: LinearAlgebra, job: FactorJob): Promise<FactorResult> {
  const route = job.route === 'subspace' ? subspaceFactorize : factorize;
  const run = (part: FactorizeInput) => route(la, part);
  const { key, value, dIn, moment, mean, rank } = job;
  const input = { dIn, moment, mean, rank };
  try {
    return key && value
      ? ofJoint(await jointFactorsBy(run, { ...input, key, value }))
      : ofSide(job, await run({ ...input, ...sideOf(job) }));
  } catch (cause) {
    throw named(job, cause);
  }
}

function named({ name }: FactorJob, cause: unknown): Error {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Error(`factor of ${name}: ${why}`, { cause });
}

function sideOf({ key, value }: FactorJob): Outputs {
  const only = key ?? value;
  if (!only) throw new Error('expected keys or values, got neither.');
  return only;
}

function ofJoint({ eigenvalues, ...joint }: JointFactors): FactorResult {
  return { ...joint, eigenvalues: eigenvalues[0]! };
}

function ofSide({ key }: FactorJob, { up, offset, ...factors }: Factors): FactorResult {
  return key ? { ...factors, upK: up, offsetK: offset } : { ...factors, upV: up, offsetV: offset };
}
