/**
 * Factors of a layer's keys and values: one latent for both (joint, the default of MHA2MLA), and
 * latents cut by groups of KV heads.
 */
import { checkRank } from './check-rank';
import { errorOf, type FactorError } from './error-of';
import { type FactorizeInput, type Factors, factorize } from './factorize';
import { checkKeyValue, type KeyValueInput, type Outputs } from './key-value-input';
import type { LinearAlgebra } from './linear-algebra';
import { blockSizes, type OutputWeights } from './output-scaling';

/** What `jointFactors` takes: keys and values that share a latent, or one a group of heads. */
export interface JointInput extends KeyValueInput {
  /** Of all groups together. */
  rank: number;
  /** Default 1. */
  groups?: number;
}

export interface JointFactors extends FactorError {
  /** [rank, dIn], group after group. */
  down: Float64Array;
  /** [dK, rank / groups]; a row reads the latent of its own group. */
  upK: Float64Array;
  /** [dV, rank / groups]. */
  upV: Float64Array;
  /** Eigenvalues of each group, descending. */
  eigenvalues: Float64Array[];
  /** Where a mean was given: what to add to the keys, [dK], and to the values, [dV]. */
  offsetK?: Float64Array;
  offsetV?: Float64Array;
}

/**
 * Factor [key; value] into one latent of `rank`, or into `groups` of rank / groups each.
 * @throws RangeError unless groups divides rank, dK and dV, and a group's rank is at most its rows
 *   and dIn.
 */
export function jointFactors(la: LinearAlgebra, input: JointInput): JointFactors {
  return joined(
    input,
    partsOf(input).map((part) => factorize(la, part)),
  );
}

/**
 * The same with a factorisation of the caller's, one part a group: the subspace route, or a worker.
 */
export async function jointFactorsBy(
  run: (part: FactorizeInput) => Factors | Promise<Factors>,
  input: JointInput,
): Promise<JointFactors> {
  return joined(input, await Promise.all(partsOf(input).map(run)));
}

/** What is factored for each group. */
function partsOf(input: JointInput): FactorizeInput[] {
  const { key, value, dIn, moment, mean, rank, groups = 1 } = input;
  checkKeyValue('jointFactors', input);
  checkGroups(groups, { rank, dK: key.dOut, dV: value.dOut });
  const [dK, dV] = [key.dOut / groups, value.dOut / groups];
  checkRank('jointFactors', rank / groups, dK + dV, dIn);
  const [keyWeights, valueWeights] = [key, value].map((side) => weightsByGroup(side, groups));
  return Array.from({ length: groups }, (_, group) => ({
    weight: join([rowsOf(key, dIn, group * dK, dK), rowsOf(value, dIn, group * dV, dV)]),
    dOut: dK + dV,
    dIn,
    moment,
    mean,
    outputWeights: keyWeights && valueWeights && [...keyWeights[group]!, ...valueWeights[group]!],
    rank: rank / groups,
  }));
}

function joined(
  { key, rank, mean, groups = 1 }: JointInput,
  parts: readonly Factors[],
): JointFactors {
  const rows = key.dOut / groups;
  const boundary = rows * (rank / groups);
  return {
    down: join(parts.map(({ down }) => down)),
    upK: join(parts.map(({ up }) => up.subarray(0, boundary))),
    upV: join(parts.map(({ up }) => up.subarray(boundary))),
    eigenvalues: parts.map(({ eigenvalues }) => eigenvalues),
    ...(mean && {
      offsetK: join(parts.map(({ offset }) => offset!.subarray(0, rows))),
      offsetV: join(parts.map(({ offset }) => offset!.subarray(rows))),
    }),
    ...errorOf(parts),
  };
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

/** The blocks of each group's rows. @throws RangeError for a block of two groups. */
function weightsByGroup(
  { dOut, outputWeights }: Outputs,
  groups: number,
): OutputWeights[] | undefined {
  if (!outputWeights) return undefined;
  const found = Array.from({ length: groups }, (): Float64Array[] => []);
  let row = 0;
  for (const [i, size] of blockSizes('jointFactors', outputWeights, dOut).entries()) {
    const group = Math.floor((row * groups) / Math.max(1, dOut));
    row += size;
    if (size === 0) continue;
    if (row * groups > (group + 1) * dOut) {
      throw new RangeError(
        `jointFactors: outputWeights[${i}] must lie in one of ${groups} groups of ${dOut / groups} rows, got rows ${row - size} to ${row - 1}.`,
      );
    }
    found[group]!.push(outputWeights[i]!);
  }
  return found;
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
