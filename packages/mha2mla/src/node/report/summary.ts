/** What runs come to, in sentences for who reads nothing else. */
import { duration, sizeText } from '../../cli/quantities';
import { label } from './escape-html';
import { bytesText, numberText, roundPercent, timesText } from './number-text';
import { differenceText, type Result } from './results';
import type { RunData } from './run-data';

/** Runs beyond that are in their sections only. */
const MOST = 4;

export function summaryOf(runs: readonly RunData[], results: readonly Result[]): string[] {
  return [
    ...runs.flatMap(cacheSentence).slice(0, MOST),
    ...smallestSentence(results),
    ...runs.flatMap(healSentence).slice(0, MOST),
    ...runs.flatMap(costSentence).slice(0, MOST),
  ];
}

function cacheSentence({ name, conversion }: RunData): string[] {
  if (!conversion) return [];
  const { original, converted } = conversion.cacheBytesPerToken;
  if (original <= 0 || converted <= 0) return [];
  return [
    `${label(name, 24)}: the cache takes ${bytesText(converted)} bytes a token in place of ${bytesText(original)}: ${timesText(original / converted)} smaller.`,
  ];
}

/** What the smallest cache that was asked costs in answers. */
function smallestSentence(results: readonly Result[]): string[] {
  const original = results.find(({ share, against }) => share === 1 && !against);
  const smallest = results.at(-1);
  if (!original || !smallest?.against || !smallest.share) return [];
  return [
    `${label(smallest.name, 24)}: with the smallest cache, ${timesText(1 / smallest.share)} smaller, ${roundPercent(smallest.accuracy)} of the answers are right; the original gets ${roundPercent(original.accuracy)} (${differenceText(smallest)}).`,
  ];
}

function healSentence({ name, losses, trainableShare }: RunData): string[] {
  if (!losses || losses.length === 0) return [];
  const trained =
    trainableShare === undefined ? '' : `, training ${roundPercent(trainableShare)} of the weights`;
  return [
    `${label(name, 24)}: healing took the loss from ${numberText(losses[0]!)} to ${numberText(losses.at(-1)!)} in ${losses.length} updates${trained}.`,
  ];
}

function costSentence({ name, cost }: RunData): string[] {
  if (!cost) return [];
  const { seconds, resumed, peakMemoryBytes, sizeBytes } = cost;
  const time = `${duration(seconds)}${resumed ? ' since it was resumed' : ''}`;
  return [
    `${label(name, 24)}: it took ${time}, ${sizeText(peakMemoryBytes)} of memory at most, and ${sizeText(sizeBytes)} of disk.`,
  ];
}
