import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fixture } from '@mha2mla/testing';
import fc from 'fast-check';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withLightColors } from '../../node/report/palette';
import type { RunData } from '../../node/report/run-data';
import { sampleReport } from '../../node/testing/sample-report';
import { runInProcess } from '../testing/run-in-process';

const HOSTILE = '</script></title><img src=x onerror=alert(1)>"\'&\u0000\u202e<!--';
let root: string;
const at = (name: string) => join(root, name);
let count = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-report-'));
});
afterAll(() => rm(root, { recursive: true }));

/** A folder of a run with these documents. */
async function runOf(documents: Record<string, unknown>, name = `run${count++}`): Promise<string> {
  await mkdir(at(name));
  for (const [file, document] of Object.entries(documents)) {
    const text = typeof document === 'string' ? document : JSON.stringify(document);
    await writeFile(join(at(name), file), text);
  }
  return at(name);
}

/** Draw, and read the page. */
async function pageOf(...runs: string[]): Promise<string> {
  const out = at(`page${count++}.html`);
  const { status, stdout, stderr } = await runInProcess(['report', ...runs, '--out', out]);
  expect([status, stdout, stderr]).toEqual([0, `${out}\n`, '']);
  return readFile(out, 'utf8');
}

const titlesOf = (page: string) => [...page.matchAll(/<h3>(.*?)<\/h3>/g)].map(([, title]) => title);
const drawingsOf = (page: string) => page.match(/<svg.*?<\/svg>/gs) ?? [];
const dataOf = (page: string) =>
  JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)![1]!);

const HEAL = { steps: 3, losses: [2, 1.5, 1] };
const EVAL = { questions: 400, accuracy: 0.8, nll: 0.4, cacheBytesPerToken: 96 };

describe('what is there is drawn', () => {
  test('all of a run: bytes, accuracy, spectra, errors, loss, pairs, scores', async () => {
    const run = await runOf({
      'report.json': sampleReport(),
      'heal.json': HEAL,
      'eval.json': EVAL,
    });
    const page = await pageOf(run);
    expect(titlesOf(page)).toEqual([
      'Accuracy against cache bytes',
      'The cache takes 37.5 % of the original’s bytes',
      'Latents keep 91.0 % to 99.0 % of the energy of keys and values',
      'Keys and values are off by 15.0 % for vision, 25.0 % for text',
      'Healing took the loss from 2 to 1',
      '2 of 8 rotary pairs a head keep their rotation',
      'Where attention misses the rotation of a pair',
    ]);
    // Spectra have a drawing a modality.
    expect(drawingsOf(page)).toHaveLength(8);
    for (const letter of ['t', 'h', 'w']) expect(page).toContain(`>${letter}</text>`);
  });

  test('a healing with pictures held out shows their losses, too', async () => {
    const losses = Array.from({ length: 60 }, (_, i) => 2 - i / 100);
    const page = async (heal: object) => pageOf(await runOf({ 'heal.json': heal }));
    const plain = await page({ losses });
    const held = await page({ losses, heldOut: { losses: [1.9, 1.7, 1.8], best: 50 } });
    const dots = (text: string) => drawingsOf(text)[0]!.split('var(--series1)').length - 1;
    expect(dots(held) - dots(plain)).toBe(3);
    expect(held).toContain('dots are pictures held out');
  });

  test('an older report lacks spectra and scores, and the rest is drawn', async () => {
    const { mropeSection, headDim, ...report } = sampleReport();
    const layers = report.layers.map(({ pairScores, vision, text, ...layer }) => ({
      ...{ ...layer, vision: { ...vision, spectrum: undefined } },
      text: { ...text, spectrum: undefined },
    }));
    const page = await pageOf(await runOf({ 'report.json': { ...report, layers } }));
    expect(titlesOf(page)).toEqual([
      'The cache takes 37.5 % of the original’s bytes',
      'Keys and values are off by 15.0 % for vision, 25.0 % for text',
      '2 of 4 rotary pairs a head keep their rotation',
    ]);
    // It names pair 3 last.
    expect(dataOf(page)[0].conversion.pairs).toBe(4);
  });

  test('factor none has neither latents nor errors', async () => {
    const report = sampleReport();
    const layers = report.layers.map(({ vision, text, ...layer }) => layer);
    const page = await pageOf(await runOf({ 'report.json': { ...report, layers } }));
    expect(titlesOf(page).join()).not.toContain('Keys and values');
    expect(titlesOf(page)).toContain('2 of 8 rotary pairs a head keep their rotation');
  });

  test('a budget marks the rank of each layer and modality', async () => {
    const report = sampleReport();
    const { rank, ...options } = report.options;
    const latentRanks = { vision: [1, 8], text: [2, 4] };
    const run = await runOf({ 'report.json': { ...report, options: { ...options, latentRanks } } });
    const [{ conversion }] = dataOf(await pageOf(run));
    expect(conversion.layers).toMatchObject([
      { vision: { rank: 1 }, text: { rank: 2 } },
      { vision: { rank: 8 }, text: { rank: 4 } },
    ]);
  });

  test('several runs share the overview; a result in the folder of a run belongs to it', async () => {
    const [a, b, c] = [
      await runOf({ 'report.json': sampleReport(), 'k4.json': EVAL }),
      await runOf({ 'report.json': sampleReport() }),
      await runOf({ 'original.json': EVAL, 'other.json': EVAL }),
    ];
    const page = await pageOf(
      join(a, 'k4.json'),
      ...[a, b, join(c, 'original.json'), join(c, 'other.json')],
    );
    const names = [a, b].map((folder) => basename(folder));
    const data = dataOf(page);
    expect(data.map(({ name }: RunData) => name)).toEqual([...names, 'original', 'other']);
    expect(data[0].evaluations).toMatchObject([{ name: 'k4', accuracy: 0.8 }]);
    expect(data[0].conversion.family).toBe('qwen2_5_vl');
    for (const [i, name] of names.entries()) {
      expect(page).toContain(`<a href="#run${i}">${name}</a>`);
    }
    // Results that stand alone have no section of their own.
    expect(page).not.toContain('id="run2"');
  });

  test('plots of an ablation are drawn as they are told', async () => {
    const points = [
      { bytes: 12.5, value: 0.5, interval: [0.4, 0.6] },
      { bytes: 25, value: 0.7 },
    ];
    const plots = [
      { title: 'Strategies', series: [{ name: 'mkl', points }], original: { value: 0.9 } },
    ];
    const page = await pageOf(await runOf({ 'eval.json': { plots, more: 1 } }));
    expect(titlesOf(page)).toEqual(['Strategies']);
    expect(page).toContain('40 % to 60 %');
  });

  test('a conversion of a small model is drawn from the report that it wrote', async () => {
    const convert = ['convert', fixture('models/llava'), at('converted'), '--quiet'];
    const options = ['--strategy', 'high', '--init', 'weights', '--rank', '8'];
    expect((await runInProcess([...convert, ...options])).status).toBe(0);
    const page = await pageOf(at('converted'));
    expect(titlesOf(page).join()).toMatch(/Keys and values are off by [\d.]+ % for vision/);
    // What `convert` itself measured of its cost.
    const { cost } = dataOf(page)[0];
    expect(cost.seconds).toBeGreaterThan(0);
    expect(cost.peakMemoryBytes).toBeGreaterThan(50e6);
    const weights = 1_900_000; // of models/llava, BF16
    expect(cost.sizeBytes).toBeGreaterThan(weights / 2);
    expect(cost.resumed).toBe(false);
    expect(dataOf(page)[0].conversion).toMatchObject({ family: 'llava', pairs: 16 });
  });
});

describe('what a reader should know first', () => {
  const original = { ...EVAL, accuracy: 0.95, cacheBytesPerToken: 256 };
  const kinds = (count: number, color: number) => ({ accuracyByKind: { count, color } });
  const COST = { seconds: 90, peakMemoryBytes: 412e6, sizeBytes: 2.3e6 };

  test('sentences tell the cache, what it costs in answers, healing, time, memory and disk', async () => {
    const run = await runOf({ 'report.json': sampleReport(), 'cost.json': COST }, 'small');
    const healing = { ...HEAL, trainableShare: 0.1 };
    const healed = await runOf({
      ...{ 'report.json': sampleReport(), 'heal.json': healing },
      ...{ 'cost.json': { ...COST, resumed: true } },
    });
    const results = await runOf({ 'original.json': original, 'k4.json': EVAL });
    const files = ['original.json', 'k4.json'].map((name) => join(results, name));
    const page = await pageOf(run, healed, ...files);
    const sentences = [...page.matchAll(/<li>([^<]*)<\/li>/g)].map(([, text]) => text!);
    const own = basename(healed);
    expect(sentences).toEqual([
      'small: the cache takes 96 bytes a token in place of 256: 2.67 times smaller.',
      'k4: with the smallest cache, 2.67 times smaller, 80.0 % of the answers are right; the original gets 95.0 % (15.0 points less, beyond chance).',
      `${own}: healing took the loss from 2 to 1 in 3 updates, training 10.0 % of the weights.`,
      'small: it took 90.0 s, 412 MB of memory at most, and 2.3 MB of disk.',
      `${own}: it took 90.0 s since it was resumed, 412 MB of memory at most, and 2.3 MB of disk.`,
    ]);
    // The conversion that was healed is drawn once.
    expect(titlesOf(page).filter((title) => title!.startsWith('Latents keep'))).toHaveLength(1);
    expect(page).toContain('<dt>conversion that was healed</dt><dd>small</dd>');
  });

  test.each([
    [0.95, 'good', 'the same'],
    [0.93, 'good', '2.0 points less, within chance'],
    // 1.96 sqrt((0.95 * 0.05 + 0.91 * 0.09) / 400) = 0.0353
    [0.91, 'bad', '4.0 points less, beyond chance'],
    [0.99, 'good', '4.0 points more, beyond chance'],
  ])('%d beside 0.95 of 400 questions is %s: %s', async (accuracy, mark, text) => {
    const run = await runOf({ 'report.json': sampleReport() });
    const results = await runOf({ 'original.json': original, 'a.json': { ...EVAL, accuracy } });
    const page = await pageOf(run, join(results, 'original.json'), join(results, 'a.json'));
    expect(page).toMatch(
      new RegExp(`<tr class="${mark}"><td>a</td><td>[^<]*</td><td>${text}</td>`),
    );
  });

  test('kinds of questions have a row each, and the weakest is named', async () => {
    const results = await runOf({
      'a.json': { ...original, ...kinds(0.9, 1) },
      'b.json': { ...EVAL, ...kinds(0.7, 0.9) },
    });
    const page = await pageOf(join(results, 'b.json'), join(results, 'a.json'));
    expect(titlesOf(page)).toContain('b is weakest on count: 70.0 % right');
    expect(page).toContain('<td>count</td><td>90 %</td><td>70 %</td>');
  });
});

describe('the page', () => {
  test('is the same for the same runs, whatever was drawn before', async () => {
    const run = await runOf({ 'report.json': sampleReport(), 'heal.json': HEAL });
    const first = await pageOf(run);
    await pageOf(await runOf({ 'heal.json': HEAL }));
    expect(await pageOf(run)).toBe(first);
  });

  test('needs nothing else, and its policy allows its own style only', async () => {
    const page = await pageOf(await runOf({ 'report.json': sampleReport(), 'eval.json': EVAL }));
    const style = /<style>(.*?)<\/style>/s.exec(page)![1]!;
    const hash = createHash('sha256').update(style).digest('base64');
    expect(page).toContain(`default-src 'none'; style-src 'sha256-${hash}'`);
    expect(page).not.toMatch(/ style=| on\w+=|src=|url\((?!#)|@import/);
    const links = [...page.matchAll(/(?:href|xmlns)="([^"]*)"/g)].map(([, target]) => target);
    expect(new Set(links)).toEqual(new Set(['http://www.w3.org/2000/svg']));
  });

  test('its drawings render, have names and descriptions, and ids of their own', async () => {
    const run = await runOf({
      'report.json': sampleReport(),
      'heal.json': HEAL,
      'eval.json': EVAL,
    });
    const page = await pageOf(run, await runOf({ 'report.json': sampleReport() }));
    const drawings = drawingsOf(page);
    // What reads pictures of users has closed this loader.
    sharp.unblock({ operation: ['VipsForeignLoadSvgBuffer'] });
    for (const drawing of drawings) {
      expect(drawing).toMatch(/role="img" aria-labelledby="\S+ \S+"><title id=.*<desc id=/);
      expect(drawing).not.toMatch(/NaN|undefined|Infinity/);
      const { channels } = await sharp(Buffer.from(withLightColors(drawing))).stats();
      expect(channels.some(({ stdev }) => stdev > 0)).toBe(true);
    }
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(page.split('<details>').length - 1).toBeGreaterThanOrEqual(drawings.length - 2);
  });
});

describe('files are not trusted', () => {
  test('their text is text in the page', async () => {
    const report = { ...sampleReport(), family: HOSTILE };
    const result = { ...EVAL, accuracyByKind: { [HOSTILE]: 1, other: 0 } };
    Object.assign(report.options, { [HOSTILE]: HOSTILE, ['__proto__']: HOSTILE });
    const plots = [
      { title: HOSTILE, series: [{ name: HOSTILE, points: [{ bytes: 1, value: 1 }] }] },
    ];
    const caption = HOSTILE;
    const run = await runOf({
      ...{ 'report.json': report, 'heal.json': HEAL, 'k4.json': result },
      'eval.json': { plots: [{ ...plots[0], caption }] },
    });
    const page = await pageOf(run, join(run, 'k4.json'));
    for (const part of ['<img', 'onerror=alert(1)>', '\u202e', '\u0000']) {
      expect(page).not.toContain(part);
    }
    expect(page.match(/<script|<\/script|<title>/g)).toEqual(['<title>', '<script', '</script']);
    expect(dataOf(page)[0].conversion.family).toBe(HOSTILE);
  });

  test.each<[string, string, unknown, RegExp]>([
    ['no layers', 'layers', undefined, /must be a report\.json, a heal\.json/],
    ['layers of another kind', 'layers', {}, /layers of ".*" must be a list of at most 512/],
    ['too many layers', 'layers', Array(513).fill({}), /a list of at most 512 values/],
    ['a layer that is none', 'layers.1', 3, /\[1\] of layers of ".*" must be an object, got 3/],
    ['an error of text', 'layers.0.vision.relativeError', '1', /relativeError of vision of \[0\]/],
    ['an error below 0', 'layers.0.text.relativeError', -1, /from 0 to 1000000, got -1/],
    ['a pair out of all heads', 'layers.0.ropePairs.0.1', 1e9, /\[1\] of \[0\] of ropePairs/],
    ['half a pair', 'layers.0.ropePairs.0.1', 0.5, /an integer from 0 to 511, got 0\.5/],
    ['a head without a list', 'layers.0.pairScores.0', 'x', /a list of at most 512 numbers/],
    [
      'unequal spectra',
      'layers.0.vision.spectrum.tail',
      [1],
      /as many ranks as tails, got 6 and 1/,
    ],
    ['a huge head', 'headDim', 1e12, /headDim of ".*" must be a finite number from 0 to 1024/],
    ['sections of a huge head', 'mropeSection', [512, 512, 512], /sum to at most 512/],
    ['two sections', 'mropeSection', [4, 4], /must be 3 counts/],
    ['no bytes', 'cacheBytesPerToken.converted', undefined, /must have converted, got none/],
  ])('%s: one line names it, and no page appears', async (_, place, value, message) => {
    const report = withValue(place.split('.'), value);
    const run = await runOf({ 'report.json': report });
    const out = at('never.html');
    const { status, stdout, stderr } = await runInProcess(['report', run, '--out', out, '--json']);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^mha2mla: report: .*\.\n$/);
    expect([status, stdout]).toEqual([1, '']);
    expect(await readdir(root)).not.toContain('never.html');
  });

  test.each([
    ['no JSON', '{"layers": [', /must be JSON/],
    ['equal keys', '{"losses": [1], "losses": [2]}', /must differ/],
    ['depth', `{"losses": ${'['.repeat(100)}${']'.repeat(100)}}`, /nest at most/],
    ['numbers that are none', '{"losses": [1, null]}', /\[1\] of losses of ".*" must be a finite/],
    ['a list that is none', '[]', /must be an object, got \[\]/],
    ['nothing known', '{"toString": 1}', /got none of them/],
    ['a plot of nothing', '{"plots": [{"title": "a", "series": []}]}', /expected points, got none/],
    ['an accuracy above 1', '{"questions": 1, "accuracy": 1.5}', /from 0 to 1, got 1\.5/],
    [
      'a kind above 1',
      '{"questions": 1, "accuracy": 1, "accuracyByKind": {"a": 2}}',
      /from 0 to 1, got 2/,
    ],
    [
      'a cost of text',
      '{"peakMemoryBytes": "much", "seconds": 1}',
      /peakMemoryBytes of ".*" must be/,
    ],
    ['no questions', '{"questions": 0, "accuracy": 1}', /at least 1|from 1 to/],
  ])('%s is refused', async (_, text, message) => {
    const run = await runOf({ 'heal.json': text });
    const { status, stderr } = await runInProcess(['report', run, '--out', at('never.html')]);
    expect(stderr).toMatch(message);
    expect(status).toBe(1);
  });

  test('whatever stands in place of a value: a page without NaN, or one line', async () => {
    const anything = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom(-1, 1e308, 1e-308, HOSTILE),
    );
    const paths = placesOf(sampleReport());
    const run = await runOf({ 'report.json': '{}' });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), anything, async (path, value) => {
        const report = withValue(path, value);
        await writeFile(join(run, 'report.json'), JSON.stringify(report));
        const out = at('fuzz.html');
        const { status, stderr } = await runInProcess(['report', run, '--out', out]);
        if (status === 1) expect(stderr).toMatch(/^mha2mla: (report|parseJson): .*\.\n$/);
        else expect(drawingsOf(await readFile(out, 'utf8')).join()).not.toMatch(/NaN|Infinity/);
        expect([0, 1]).toContain(status);
      }),
      { numRuns: 60, seed: 5 },
    );
  });
});

describe('places', () => {
  test('a page may replace a page, and no other file', async () => {
    const run = await runOf({ 'heal.json': HEAL });
    await writeFile(at('mine.json'), '{}');
    for (const [out, message] of [
      [at('mine.json'), /--out must name an \.html file/],
      [root, /--out must name an \.html file/],
    ] as const) {
      const { status, stderr } = await runInProcess(['report', run, '--out', out]);
      expect(stderr).toMatch(message);
      expect(status).toBe(2);
    }
    await writeFile(at('old.html'), 'old');
    expect((await runInProcess(['report', run, '--out', at('old.html')])).status).toBe(0);
    expect(await readFile(at('old.html'), 'utf8')).toMatch(/^<!doctype html>/);
  });

  test.each([
    ['nothing there', () => at('nowhere'), /must be a folder or a JSON file, got nothing/],
    [
      'a folder of other things',
      () => root,
      /must hold report\.json, heal\.json, eval\.json, got none/,
    ],
  ])('%s is told', async (_, run, message) => {
    const { status, stderr } = await runInProcess(['report', run(), '--out', at('never.html')]);
    expect(stderr).toMatch(message);
    expect(status).toBe(1);
  });
});

/** A sample report with another value in one place. */
function withValue(path: readonly string[], value: unknown): Record<string, unknown> {
  const report: Record<string, unknown> = sampleReport();
  let parent = report;
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string, unknown>;
  parent[path.at(-1)!] = value;
  return report;
}

/** Paths to all values of a document. */
function placesOf(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, child]) => placesOf(child, [...path, key]));
  return path.length > 0 ? [path, ...inner] : inner;
}
