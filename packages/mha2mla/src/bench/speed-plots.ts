/** What a speed bench says, as `report` draws it: speed and cache bytes against context. */
import type { SpeedResult } from './measure-speed';

const KINDS = { prefill: 'Prefill', decode: 'Decoding' } as const;

/** @param bytes cache bytes a token, by arm. */
export function speedPlots(results: readonly SpeedResult[], bytes: Record<string, number>) {
  const x = { bytesUnit: 'bytes', bytesLabel: 'tokens of context, on average', valueScale: 'log' };
  const names = Object.keys(bytes);
  // First, as among results: it has the same colour there.
  const arms = [...names].sort((a, b) => Number(b === 'original') - Number(a === 'original'));
  const pointsOf = (arm: string, kind: SpeedResult['kind'], value: (one: SpeedResult) => object) =>
    results
      .filter((one) => one.arm === arm && one.kind === kind)
      .map((one) => ({ bytes: one.depth + one.tokens / 2, ...value(one) }));
  const speeds = (['prefill', 'decode'] as const).map((kind) => ({
    title: speedTitle(results, kind),
    caption: 'Tokens a second, higher is better; bars span the repetitions.',
    ...{ valueLabel: 'tokens a second', valueUnit: 'number' },
    series: arms.map((arm) => ({
      name: arm,
      points: pointsOf(arm, kind, ({ mean, samples }) => ({
        value: mean,
        interval: [Math.min(...samples), Math.max(...samples)],
      })),
    })),
  }));
  const held = {
    title: 'The cache grows with the context',
    caption: 'Bytes of the cache as it is stored, by its format; lower is better.',
    ...{ valueLabel: 'cache of one conversation', valueUnit: 'bytes' },
    series: arms.map((arm) => ({
      name: arm,
      points: pointsOf(arm, 'decode', ({ depth, tokens }) => ({
        value: bytes[arm]! * (depth + tokens / 2),
      })),
    })),
  };
  return [...speeds, held].flatMap((plot) => {
    const series = plot.series.filter(({ points }) => points.length > 0);
    return series.length > 0 ? [{ ...plot, ...x, series }] : [];
  });
}

/** Beside the original where there is one, over the longest context. */
function speedTitle(results: readonly SpeedResult[], kind: SpeedResult['kind']): string {
  const own = results.filter((one) => one.kind === kind);
  const depth = Math.max(...own.map((one) => one.depth));
  const deepest = own.filter((one) => one.depth === depth);
  const [converted, original] = ['converted', 'original'].map((arm) =>
    deepest.find((one) => one.arm === arm),
  );
  if (!converted || !original) return `${KINDS[kind]} against context`;
  const times = (converted.mean / original.mean).toFixed(2);
  const apart =
    Math.min(...converted.samples) > Math.max(...original.samples) ||
    Math.max(...converted.samples) < Math.min(...original.samples);
  const sure = apart ? '' : ', within the spread of the rounds';
  return `${KINDS[kind]} at ${times} times the original’s speed over ${depth} tokens${sure}`;
}
