/** The report as its readers have it: a file, opened in a browser. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromiumMissing, launchChromium } from '@mha2mla/testing';
import axe from 'axe-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sampleReport } from '../testing/sample-report';
import { loadRuns } from './load-runs';
import { reportPage } from './report-page';

const HOSTILE =
  '</script></title><img src="https://example.invalid/x" onerror=alert(1)>\u0000\u202e';
const missing = chromiumMissing();

describe.skipIf(missing)(`the report${missing ? ` [chromium: ${missing}]` : ''}`, () => {
  let browser: Browser;
  let root: string;
  let html: string;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'mha2mla-report-'));
    const result = (accuracy: number, cacheBytesPerToken: number) => ({
      ...{ questions: 400, accuracy, nll: 0.1, cacheBytesPerToken },
      accuracyByKind: { count: accuracy, [HOSTILE]: 1 },
    });
    const points = [64, 1088, 4160].map((bytes) => ({ bytes, value: 9e7 / bytes }));
    const plot = { title: HOSTILE, caption: HOSTILE, valueScale: 'log', valueUnit: 'bytes' };
    const files = {
      'report.json': { ...sampleReport(), family: HOSTILE },
      'heal.json': { losses: [2, 1.5, 1] },
      'cost.json': { seconds: 90, peakMemoryBytes: 4e8, sizeBytes: 2e6 },
      'original.json': result(0.95, 256),
      'converted.json': result(0.8, 96),
      'bench.json': { plots: [{ ...plot, series: [{ name: HOSTILE, points }] }] },
    };
    for (const [name, value] of Object.entries(files)) {
      await writeFile(join(root, name), JSON.stringify(value));
    }
    const results = ['original.json', 'converted.json', 'bench.json'];
    html = await reportPage(await loadRuns([root, ...results.map((name) => join(root, name))]));
    browser = await launchChromium();
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    if (root) await rm(root, { recursive: true });
  });

  async function open(text: string, options: Parameters<Browser['newPage']>[0]) {
    const file = join(root, 'page.html');
    await writeFile(file, text);
    const page = await browser.newPage(options);
    const [requests, said]: [string[], string[]] = [[], []];
    page.on('request', (request) => requests.push(request.url()));
    // One that the policy stops is told all the same.
    page.on('requestfailed', (request) => {
      if (request.failure()?.errorText === 'csp')
        requests.splice(requests.indexOf(request.url()), 1);
    });
    page.on('console', (message) => said.push(message.text()));
    page.on('dialog', (dialog) => dialog.dismiss().then(() => said.push('a dialog')));
    await page.goto(pathToFileURL(file).href);
    return { page, requests, said, own: [pathToFileURL(file).href] };
  }

  test.each([
    [1200, 'light'],
    [1200, 'dark'],
    [375, 'light'],
    [375, 'dark'],
  ] as const)(
    '%i wide, %s: asks for nothing, fits, is legible and accessible',
    async (width, colorScheme) => {
      const viewport = { width, height: 800 };
      const { page, requests, said, own } = await open(html, { viewport, colorScheme });
      expect([requests, said]).toEqual([own, []]);
      const found = await page.evaluate(() => ({
        overflow: document.documentElement.scrollWidth - innerWidth,
        images: document.images.length,
        letters: [...document.querySelectorAll<SVGTextElement>('svg text')].map(
          (text) => Number.parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM()!.a,
        ),
        cut: [...document.querySelectorAll('.drawings .scroll')].filter(
          (one) => one.scrollWidth > one.clientWidth,
        ).length,
      }));
      expect(found).toMatchObject({ overflow: 0, images: 0, cut: 0 });
      expect(found.letters.length).toBeGreaterThan(60);
      // Rotated names of axes have none along x.
      expect(Math.min(...found.letters.filter((pixels) => pixels > 0.1))).toBeGreaterThan(8);
      await page.evaluate(axe.source);
      const { violations } = await page.evaluate(() =>
        (globalThis as unknown as { axe: typeof axe }).axe.run(),
      );
      expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
      await page.close();
    },
  );

  test('a script or a picture that slipped in would neither run nor be asked for', async () => {
    const slipped =
      '<script>document.title = "ran"</script><p style="color:red" id="styled"></p><img src="https://example.invalid/y" onerror="document.title = \'ran\'">';
    const { page, requests, said, own } = await open(
      html.replace('</main>', `${slipped}</main>`),
      {},
    );
    expect(requests).toEqual(own);
    expect(await page.title()).not.toBe('ran');
    expect(await page.$eval('#styled', (one) => getComputedStyle(one).color)).not.toBe(
      'rgb(255, 0, 0)',
    );
    expect(said.length).toBeGreaterThan(0); // what the policy refused
    await page.close();
  });
});
