/** Results of `eval` beside that of the original: what was kept, and whether chance explains the rest. */
import type { Table } from './figure';
import { bytesText, numberText, roundPercent, timesText } from './number-text';
import type { EvaluationData, RunData } from './run-data';

/** Within so many deviations of a normal distribution lie 95 of 100. */
export const Z_95 = 1.959964;

export interface Result extends EvaluationData {
  /** Of the original's cache. */
  share?: number;
  /** Accuracy less that of the original, and how large chance alone makes that in 19 of 20 cases. */
  against?: { difference: number; chance: number };
}

/** All results by falling cache, the original's first where it is there. */
export function resultsOf(runs: readonly RunData[]): Result[] {
  const found = runs
    .flatMap(({ evaluations }) => evaluations)
    .sort((a, b) => (b.cacheBytesPerToken ?? 0) - (a.cacheBytesPerToken ?? 0));
  const bytes = runs.flatMap(({ conversion }) => conversion?.cacheBytesPerToken.original ?? []);
  const original = found.find(({ cacheBytesPerToken = -1 }) => bytes.includes(cacheBytesPerToken));
  return found.map((one) => {
    const share = original && (one.cacheBytesPerToken ?? 0) / original.cacheBytesPerToken!;
    if (!original || one === original) return { ...one, share };
    const difference = one.accuracy - original.accuracy;
    const chance = Z_95 * Math.sqrt(variance(one) + variance(original));
    return { ...one, share, against: { difference, chance } };
  });
}

/** Of a share; a result of 0 or 1 is taken as half a question off, since chance is there too. */
function variance({ accuracy, questions }: EvaluationData): number {
  const share = Math.min(1 - 0.5 / questions, Math.max(0.5 / questions, accuracy));
  return (share * (1 - share)) / questions;
}

/** Whether it is worse than the original by more than chance explains. */
export function isWorse({ against }: Result): boolean {
  return against !== undefined && against.difference < -against.chance;
}

/** @returns `1.5 points less, more than chance explains`. */
export function differenceText({ against }: Result): string {
  if (!against) return '';
  const { difference, chance } = against;
  const points = `${Math.abs(100 * difference).toFixed(1)} points`;
  if (Math.abs(difference) <= chance) {
    return difference === 0 ? 'the same' : `${points} ${moreOrLess(difference)}, within chance`;
  }
  return `${points} ${moreOrLess(difference)}, beyond chance`;
}

const moreOrLess = (difference: number) => (difference < 0 ? 'less' : 'more');

function bytesOf({ cacheBytesPerToken, share }: Result): string {
  if (cacheBytesPerToken === undefined) return '';
  const smaller = share && share < 1 ? `, ${timesText(1 / share)} smaller` : '';
  return `${bytesText(cacheBytesPerToken)}${smaller}`;
}

export function resultsTable(results: readonly Result[]): Table {
  return {
    head: ['result', 'right', 'against the original', 'nll', 'cache bytes a token'],
    rows: results.map((one) => [
      one.name,
      roundPercent(one.accuracy),
      differenceText(one) || (one.share === 1 ? 'the original' : ''),
      one.nll === undefined ? '' : numberText(one.nll),
      bytesOf(one),
    ]),
    marks: results.map((one) => (one.against ? (isWorse(one) ? 'bad' : 'good') : undefined)),
  };
}
