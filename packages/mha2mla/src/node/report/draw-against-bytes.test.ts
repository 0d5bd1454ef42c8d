import sharp from 'sharp';
import { expect, test } from 'vitest';
import { type BytesSeries, drawAgainstBytes } from './draw-against-bytes';

const at = (bytes: number, value: number, spread?: number) => ({
  ...{ bytes, value },
  ...(spread !== undefined && { interval: [value - spread, value + spread] as const }),
});
const SERIES: BytesSeries[] = [
  { name: 'mkl', points: [at(12.5, 0.6, 0.03), at(25, 0.8, 0.02), at(50, 0.9, 0.01)] },
  { name: 'high', points: [at(12.5, 0.4), at(25, 0.7)] },
];
const TITLE = { title: 'Accuracy of a small model' };

/** Where the symbols of a series stand, by the colour of the light theme. */
function symbolsOf(svg: string, fill: string): [x: number, y: number][] {
  const symbol = new RegExp(
    `transform="matrix\\(4\\.5,0,0,4\\.5,([\\d.]+),([\\d.]+)\\)" fill="${fill}"`,
    'g',
  );
  return [...svg.matchAll(symbol)].map(([, x, y]) => [Number(x), Number(y)]);
}

test('halving the bytes is the same step anywhere, and more is higher up', async () => {
  const svg = await drawAgainstBytes(SERIES, TITLE);
  const [a, b, c] = symbolsOf(svg, '#1f6fb4');
  expect(b![0] - a![0]).toBeCloseTo(c![0] - b![0], 1);
  expect(b![0]).toBeGreaterThan(a![0]);
  // 0.6 -> 0.8 -> 0.9.
  expect(a![1] - b![1]).toBeCloseTo(2 * (b![1] - c![1]), 1);
});

test('it is a picture that renders, with something on white', async () => {
  const svg = await drawAgainstBytes(SERIES, { ...TITLE, width: 600, height: 300 });
  const { data, info } = await sharp(Buffer.from(svg)).raw().toBuffer({ resolveWithObject: true });
  expect([info.width, info.height]).toEqual([600, 300]);
  expect([...data.subarray(0, 3)]).toEqual([255, 255, 255]);
  const blue = Buffer.from([0x1f, 0x6f, 0xb4]);
  expect(data.indexOf(blue)).toBeGreaterThan(0);
  expect(svg).not.toMatch(/var\(|style|class=/);
});

test('the same input gives the same text, whatever was drawn before', async () => {
  const first = await drawAgainstBytes(SERIES, TITLE);
  await drawAgainstBytes(SERIES.slice(1), { title: 'another', valueUnit: 'number' });
  expect(await drawAgainstBytes(SERIES, TITLE)).toBe(first);
});

test('intervals are drawn for the points that have one: a line and two ends', async () => {
  const lines = (svg: string) => svg.split('stroke-width="1.5"').length - 1;
  const some = await drawAgainstBytes(SERIES, TITLE);
  const none = await drawAgainstBytes(SERIES.slice(1), TITLE);
  expect(lines(some) - lines(none)).toBe(9);
});

test('who cannot see it reads the figures; the original is a level with its name', async () => {
  const svg = await drawAgainstBytes(SERIES, { ...TITLE, original: { value: 0.95 } });
  expect(svg).toContain('<title id="bytes-title">Accuracy of a small model</title>');
  expect(svg).toContain('mkl: 60 % at 12.5 %, 80 % at 25 %, 90 % at 50 %.');
  expect(svg).toContain('>original</text>');
  expect(svg).toContain('stroke-dasharray');
});

test('names are text, whatever they hold', async () => {
  const name = '</svg><script>alert(1)</script>"$&\u0000\ud800{a|b}\u202e';
  const svg = await drawAgainstBytes([{ name, points: [at(1, 1)] }, ...SERIES], {
    title: name,
    valueLabel: name,
  });
  expect(svg).not.toMatch(/<script|<\/svg>./);
  expect(svg.match(/<\/?svg/g)).toHaveLength(2);
  expect(await sharp(Buffer.from(svg)).metadata()).toMatchObject({ format: 'svg', width: 720 });
});

test('one point, and points at one place, are drawn too', async () => {
  for (const points of [[at(3072, 0.5)], [at(3072, 0), at(3072, 0)]]) {
    const svg = await drawAgainstBytes([{ name: 'one', points }], { ...TITLE, bytesUnit: 'bytes' });
    expect(symbolsOf(svg, '#1f6fb4')).toHaveLength(points.length);
    expect(svg).not.toContain('NaN');
  }
});

test('a log scale spreads values by their ratio', async () => {
  const points = [at(1, 0.001), at(2, 0.01), at(4, 0.1)];
  const svg = await drawAgainstBytes([{ name: 'error', points }], {
    ...{ ...TITLE, valueScale: 'log', valueUnit: 'number', valueLabel: 'relative error' },
  });
  const [a, b, c] = symbolsOf(svg, '#1f6fb4');
  expect(a![1] - b![1]).toBeCloseTo(b![1] - c![1], 1);
});

test.each<[string, BytesSeries[], object, RegExp]>([
  ['no points', [{ name: 'a', points: [] }], {}, /expected points, got none/],
  ['bytes of 0', [{ name: 'a', points: [at(0, 1)] }], {}, /bytes must be .* above 0, got 0/],
  ['NaN', [{ name: 'a', points: [at(1, Number.NaN)] }], {}, /values must be finite, got NaN/],
  ['an endless interval', [{ name: 'a', points: [at(1, 1, 1 / 0)] }], {}, /got -Infinity/],
  ['the log of 0', [{ name: 'a', points: [at(1, 0)] }], { valueScale: 'log' }, /above 0, got 0/],
  ['a level of NaN', SERIES, { original: { value: Number.NaN } }, /values must be finite/],
  ['too many series', Array(65).fill(SERIES[0]), {}, /series must be at most 64, got 65/],
])('%s is refused', async (_, series, options, message) => {
  await expect(drawAgainstBytes(series, { ...TITLE, ...options })).rejects.toThrow(message);
});
