/**
 * Time from opening the page to the first answer, for each small model: `npm run measure` after
 * `npm run build`. Headless Chromium on WebAssembly; nothing is cached, and the machine is this one.
 */
import { fileURLToPath } from 'node:url';
import { markdownTable } from 'markdown-table';
import { chromium } from 'playwright-core';
import { preview } from 'vite';

const MODELS = ['LLaVA-1.5', 'LLaVA-NeXT', 'Qwen2.5-VL'];
const SIDES = ['Original', 'Converted', 'Side by side'];
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

const server = await preview({
  root: fileURLToPath(new URL('.', import.meta.url)),
  preview: { port: 0, host: '127.0.0.1' },
  logLevel: 'error',
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking'],
});
const rows = [];
for (const model of MODELS) {
  for (const side of SIDES) rows.push([model, side, ...(await measure(model, side)).map(seconds)]);
}
await browser.close();
await server.close();
console.log(
  markdownTable([['model', 'runs', 'page', 'loaded', 'first answer'], ...rows], {
    align: ['l', 'l', 'r', 'r', 'r'],
  }),
);

/** @returns milliseconds since the page was opened until it can be used, is loaded, has answered. */
async function measure(model, side) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const button = (name) => page.getByRole('button', { name, exact: true });
  const started = performance.now();
  await page.goto(server.resolvedUrls.local[0]);
  await page.getByRole('radio', { name: model }).check();
  await page.getByRole('radio', { name: side, exact: true }).check();
  const times = [performance.now() - started];
  await button(/^Load \d/).click();
  await button('Show gifts and cherries').click();
  times.push(performance.now() - started);
  await button('list all the objects in order.').click();
  await page.locator('.answer-done').last().waitFor();
  await button('Ask').waitFor();
  times.push(performance.now() - started);
  await context.close();
  return times;
}
