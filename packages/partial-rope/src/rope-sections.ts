/**
 * Quotas of M-RoPE's sections. Its pairs turn with time, height and width, section by section; the
 * fastest pairs are all of time, so that `high` alone can lose where a patch is. A quota says how
 * many pairs of a section keep their rotation.
 */
import { checkRopeDim } from './rope-pairs';

/** Consecutive pairs of a head, and how many of them keep their rotation. */
export interface RopeSection {
  first: number;
  size: number;
  kept: number;
}

/** Options of `ropeSections`. */
export interface RopeSectionsOptions {
  headDim: number;
  /** Dims a head that keep their rotation, even: two a pair. */
  ropeDim: number;
  /** Pairs of each section, as configs have it: `[16, 24, 24]` for time, height, width. */
  mropeSection: readonly number[];
}

/**
 * Lay out the sections of a head.
 * @param quotas pairs to keep of each section, which sum to ropeDim / 2; or `proportional` to the
 *   sections' sizes, by largest remainder.
 * @throws RangeError when sections do not make up the head, or quotas do not fit them.
 */
export function ropeSections(
  quotas: readonly number[] | 'proportional',
  { headDim, ropeDim, mropeSection }: RopeSectionsOptions,
): RopeSection[] {
  checkRopeDim('ropeSections', ropeDim, headDim);
  const [pairs, kept] = [headDim / 2, ropeDim / 2];
  if (!mropeSection.every(isCount) || sum(mropeSection) !== pairs) {
    throw new RangeError(
      `ropeSections: mropeSection must be counts that sum to headDim / 2 = ${pairs}, got [${mropeSection}].`,
    );
  }
  const counts = quotas === 'proportional' ? proportional(mropeSection, kept) : quotas;
  if (counts.length !== mropeSection.length || !counts.every(isCount) || sum(counts) !== kept) {
    throw new RangeError(
      `ropeSections: quotas must be ${mropeSection.length} counts that sum to ropeDim / 2 = ${kept}, got [${counts}].`,
    );
  }
  let end = 0;
  return mropeSection.map((size, i) => {
    if (counts[i]! > size) {
      throw new RangeError(
        `ropeSections: quota ${i} must be at most its section's ${size} pairs, got ${counts[i]}.`,
      );
    }
    end += size;
    return { first: end - size, size, kept: counts[i]! };
  });
}

/** @throws RangeError unless the sections follow on each other and keep ropeDim / 2 of the head. */
export function checkSections(
  caller: string,
  sections: readonly RopeSection[],
  { headDim, ropeDim }: { headDim: number; ropeDim: number },
): void {
  let end = 0;
  let kept = 0;
  for (const section of sections) {
    const sound = section.first === end && isCount(section.size) && isCount(section.kept);
    if (!sound || section.kept > section.size) end = Number.NaN;
    end += section.size;
    kept += section.kept;
  }
  if (end === headDim / 2 && kept === ropeDim / 2) return;
  throw new RangeError(
    `${caller}: sections must make up ${headDim / 2} pairs and keep ${ropeDim / 2}, got ${JSON.stringify(sections)}. Make them by ropeSections.`,
  );
}

function proportional(sizes: readonly number[], kept: number): number[] {
  const whole = sum(sizes);
  const counts = sizes.map((size) => Math.floor((size * kept) / whole));
  const remainder = (i: number) => (sizes[i]! * kept) % whole;
  const order = [...sizes.keys()].sort((a, b) => remainder(b) - remainder(a) || a - b);
  for (const i of order.slice(0, kept - sum(counts))) counts[i]!++;
  return counts;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
