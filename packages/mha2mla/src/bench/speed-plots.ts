/** What a speed bench says, as `report` draws it: speed and cache bytes against context. */
import type { SpeedResult } from './measure-speed';

/** @param bytes cache bytes a token, by arm. */
export function speedPlots(results: readonly SpeedResult[], bytes: Record<string, number>) {
  const x = {
    bytesUnit: 'bytes',
    bytesLabel: 'tokens of context, on average',
    valueUnit: 'number',
  };
  const arms = Object.keys(bytes);
  const ofArm = (arm: string, kind: SpeedResult['kind'], value: (one: SpeedResult) => object) => ({
    name: `${arm}, ${kind}`,
    points: results
      .filter((one) => one.arm === arm && one.kind === kind)
      .map((one) => ({ bytes: one.depth + one.tokens / 2, ...value(one) })),
  });
  const speeds = arms.flatMap((arm) =>
    (['prefill', 'decode'] as const).map((kind) =>
      ofArm(arm, kind, ({ mean, samples }) => ({
        value: mean,
        interval: [Math.min(...samples), Math.max(...samples)],
      })),
    ),
  );
  const held = arms.map((arm) => {
    const { points } = ofArm(arm, 'decode', ({ depth, tokens }) => ({
      value: bytes[arm]! * (depth + tokens / 2),
    }));
    return { name: arm, points };
  });
  return [
    { title: 'Speed against context', valueLabel: 'tokens a second', series: speeds },
    { title: 'Cache against context', valueLabel: 'cache bytes', series: held },
  ].flatMap((plot) => {
    const series = plot.series.filter(({ points }) => points.length > 0);
    return series.length > 0 ? [{ ...plot, ...x, valueScale: 'log', series }] : [];
  });
}
