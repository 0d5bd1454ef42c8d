/** The built page, driven in a headless Chromium: what a newcomer does, and what goes wrong. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { nodeStore } from '@mha2mla/checkpoint/node';
import {
  chromiumMissing,
  type FileServer,
  fixture,
  launchChromium,
  serveFiles,
} from '@mha2mla/testing';
import { type ChatMessage, llava, loadModel } from '@mha2mla/vlm-adapters';
import axe from 'axe-core';
import { readPicture } from 'mha2mla/node';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { build } from 'vite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import '@tensorflow/tfjs-backend-wasm';

const HERE = fixture('examples/browser-chat');
const PICTURE = 'models/scenes/images/test-018.png';
const LIST = 'list all the objects in order.';
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};
/** The page may lie anywhere below a host. */
const FOLDER = 'any/folder/';

/** Before a worker's script: the device that it opens does `what`. */
const withDevice = (what: string) => `{
  const { prototype } = GPUAdapter;
  const open = prototype.requestDevice;
  prototype.requestDevice = async function (...given) {
    const device = await open.apply(this, given);
    ${what};
    return device;
  };
}
`;

const missing = chromiumMissing();

describe.skipIf(missing)(`the page${missing ? ` [chromium: ${missing}]` : ''}`, () => {
  let browser: Browser;
  let server: FileServer;
  let context: BrowserContext;
  let page: Page;
  let troubles: string[];
  /** Paths below which nothing is to be had. */
  let gone: string[] = [];

  beforeAll(async () => {
    await promisify(execFile)(process.execPath, [join(HERE, 'build-models.js'), 'llava']);
    await build({ root: HERE, logLevel: 'silent' });
    server = await serveFiles((path) => {
      if (!path.startsWith(FOLDER)) return undefined;
      const file = join(HERE, 'dist', path.slice(FOLDER.length) || 'index.html');
      if (gone.some((part) => path.includes(part)) || !existsSync(file)) return undefined;
      return { bytes: readFileSync(file), type: TYPES[extname(file)] };
    });
    browser = await launchChromium({ webGpu: false });
  }, 300_000);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  beforeEach(async () => {
    context = await browser.newContext();
    page = await context.newPage();
    page.setDefaultTimeout(20_000);
    troubles = [];
    page.on('pageerror', ({ message }) => troubles.push(message));
    page.on('console', (said) => {
      if (/Content Security Policy/.test(said.text())) troubles.push(said.text());
    });
    await page.goto(home());
  });
  afterEach(async () => {
    gone = [];
    await context.close();
    expect(troubles).toEqual([]);
  });

  const home = () => server.url + FOLDER;
  const button = (name: string | RegExp) => page.getByRole('button', { name, exact: true });
  const problem = (title: string) => page.locator('.problem strong', { hasText: title });
  const status = () => page.getByRole('status').textContent();
  const answers = () => page.locator('.answer .text').allTextContents();

  async function load(): Promise<void> {
    await button(/^Load \d/).click();
    await page.getByRole('heading', { name: 'Show it a picture' }).waitFor();
  }

  async function askByKeys(question: string): Promise<void> {
    await page.getByRole('textbox', { name: 'Your question' }).fill(question);
    await page.keyboard.press('Enter');
  }

  async function answered(): Promise<void> {
    await page.locator('.answer-waiting, .answer-running').first().waitFor({ state: 'detached' });
    await button('Ask').waitFor();
  }

  /** What it says in a conversation of these questions, the picture with the first. */
  async function answersInNode(folder: string, ...questions: string[]): Promise<string[]> {
    const store = await nodeStore(join(HERE, 'public/models', folder));
    const model = await loadModel(store, { families: [llava], backend: 'wasm' });
    const image = await readPicture(fixture(PICTURE));
    const messages: ChatMessage[] = [];
    const texts: string[] = [];
    for (const question of questions) {
      const text = { type: 'text' as const, text: question };
      const content = messages.length > 0 ? [text] : [{ type: 'image' as const, image }, text];
      messages.push({ role: 'user', content });
      const reply = await model.chat(messages);
      messages.push({ role: 'assistant', content: reply.text });
      texts.push(reply.text.trimStart());
    }
    await model.dispose();
    await store.close?.();
    return texts;
  }

  async function violations(): Promise<string[]> {
    await page.evaluate(axe.source);
    const found = await page.evaluate(async () => {
      const { violations: all } = await (globalThis as unknown as { axe: typeof axe }).axe.run();
      return all.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
    });
    return found;
  }

  async function accessibleInBoth(): Promise<void> {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      expect(await violations(), colorScheme).toEqual([]);
    }
    const { width } = page.viewportSize()!;
    await page.setViewportSize({ width: 375, height: 740 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(wide, 'nothing sticks out on a phone').toBeLessThanOrEqual(375);
    await page.setViewportSize({ width, height: 720 });
  }

  test('both models answer as in Node, side by side, and the cache is a quarter', async () => {
    await accessibleInBoth();
    await page.evaluate(() => {
      const shares: number[] = [];
      Object.assign(globalThis, { shares });
      new MutationObserver(() => {
        const bar = document.querySelector('progress');
        if (bar) shares.push(bar.value);
      }).observe(document, { subtree: true, childList: true, attributes: true });
    });
    await load();
    const shares = await page.evaluate(
      () => (globalThis as unknown as { shares: number[] }).shares,
    );
    expect(shares[0]).toBe(0);
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    expect(await page.locator('.backend').textContent()).toBe('WebAssembly');
    await accessibleInBoth();
    await button('Show gifts and cherries').click();
    await askByKeys(LIST);
    await answered();
    const expected = [
      ...(await answersInNode('llava', LIST)),
      ...(await answersInNode('llava-converted', LIST)),
    ];
    expect(await answers()).toEqual(expected);
    expect(await status()).toBe(`Original: ${expected[0]}. Converted: ${expected[1]}.`);
    expect(await page.locator('.gauge-converted .figure').textContent()).toMatch(/KB25 %$/);
    await accessibleInBoth();
    const log = page.getByRole('log');
    expect(await log.getAttribute('aria-live')).toBe('off');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('question');
  });

  test('Esc stops, the next question is answered, and a new chat forgets', async () => {
    await page.getByRole('radio', { name: 'Converted' }).check();
    await load();
    await button('Show gifts and cherries').click();
    await page.evaluate(() => {
      const observer = new MutationObserver(() => {
        if (!document.querySelector('.answer-running')) return;
        observer.disconnect();
        dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }));
      });
      observer.observe(document, { subtree: true, childList: true });
    });
    await button(LIST).click();
    await page.locator('.answer-stopped').waitFor();
    await button('what color is the background?').click();
    await page.locator('.answer-done').waitFor();
    expect((await answers()).at(-1)).toBe('yellow');
    const picture = await page.locator('.shown img').getAttribute('src');
    await button('New chat').click();
    await page.getByRole('heading', { name: 'Show it a picture' }).waitFor();
    expect(await page.locator('.turn').count()).toBe(0);
    const revoked = await page.evaluate(async (src) => {
      const image = Object.assign(new Image(), { src });
      return image.decode().then(
        () => false,
        () => true,
      );
    }, picture!);
    expect(revoked).toBe(true);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('question');
    await button('Camera').click();
    await page.getByText(/camera (is blocked|was found)/).waitFor();
  });

  test('a kept model goes on with a conversation after a reload, without its address; removing frees', async () => {
    await page.getByRole('radio', { name: 'Your own' }).check();
    await page.getByLabel('Address of a folder').fill(`${home()}models/llava-converted`);
    await button('Add').click();
    await button('Keep llava-converted in this browser').click();
    await button('Use llava-converted').waitFor();
    await page.reload();
    gone = ['models/'];
    await page.getByRole('radio', { name: 'Your own' }).check();
    await button('Use llava-converted').click();
    await load();
    const files = page.locator('input[type=file]');
    await files.setInputFiles(fixture(PICTURE));
    await askByKeys(LIST);
    await answered();
    await askByKeys('what is in the top left?');
    await answered();
    const questions = [LIST, 'what is in the top left?'];
    expect(await answers()).toEqual(await answersInNode('llava-converted', ...questions));
    await button('Change model').click();
    await button('Remove llava-converted').click();
    await page
      .getByText(/4\.7\d MB are free again/)
      .first()
      .waitFor();
    await button('Use llava-converted').waitFor({ state: 'detached' });
  });

  test('wrong folders and addresses are told apart, in words', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mha2mla-page-'));
    const models = join(HERE, 'public/models/llava');
    const cut = join(folder, 'cut');
    mkdirSync(cut);
    for (const name of ['config.json', 'model.safetensors']) {
      const bytes = readFileSync(join(models, name));
      writeFileSync(join(cut, name), name === 'config.json' ? bytes : bytes.subarray(0, 1_000_000));
    }
    const empty = join(folder, 'empty');
    mkdirSync(empty);
    writeFileSync(join(empty, 'notes.txt'), 'no model');
    // A server that allows every page, and sends whole files only.
    const whole = createServer((_, response) => {
      response.setHeader('access-control-allow-origin', '*');
      response.setHeader('access-control-allow-headers', '*');
      const bytes = readFileSync(join(models, 'config.json'));
      response.setHeader('content-length', bytes.length).end(bytes);
    });
    await new Promise<void>((resolve) => whole.listen(0, '127.0.0.1', resolve));
    const elsewhere = await serveFiles(() => ({ bytes: new Uint8Array(8) }));
    await page.getByRole('radio', { name: 'Your own' }).check();
    const given = async (label: string, words: string) => {
      await problem(words).waitFor();
      await button(`Leave out ${label}`).click();
    };
    const fromDisk = (path: string) => page.locator('.drop input').setInputFiles(path);
    const fromAddress = async (address: string) => {
      await page.getByLabel('Address of a folder').fill(address);
      await button('Add').click();
    };
    await fromDisk(empty);
    await given('empty', 'This is no folder of a model.');
    await fromDisk(cut);
    await given('cut', 'The files are damaged, or not what they should be.');
    const dropped = await page.evaluateHandle(() => {
      const data = new DataTransfer();
      data.items.add(new File(['{'], 'config.json'));
      return data;
    });
    await page.dispatchEvent('.drop', 'drop', { dataTransfer: dropped });
    await given('dropped files', 'The files are damaged, or not what they should be.');
    await fromAddress(`http://127.0.0.1:${(whole.address() as AddressInfo).port}/whole`);
    await given('whole', 'This address sends whole files only.');
    await fromAddress(`${elsewhere.url}secret`);
    await problem('The files could not be read.').waitFor();
    await accessibleInBoth();
    await given('secret', 'The files could not be read.');
    whole.closeAllConnections();
    whole.close();
    await elsewhere.close();
    rmSync(folder, { recursive: true });
  });

  test('where WebGPU does not start, and where a part of the page is gone, the page says so', async () => {
    await page.getByText('Settings', { exact: true }).click();
    await page.getByLabel('Runs on').selectOption('webgpu');
    await button(/^Load \d/).click();
    await problem('This browser has no WebGPU that starts.').waitFor();
    gone = ['worker'];
    await page.reload();
    await problem('A part of this page is missing.').first().waitFor();
    gone = [];
    await button('Reload the page').first().click();
    await button(/^Load \d/).waitFor();
  });

  test('a device that is lost is said, and what was loaded comes back, the second time on wasm', async () => {
    const gpu = await launchChromium();
    page = await gpu.newPage();
    page.setDefaultTimeout(120_000);
    // The first worker's device is lost when it is told to, the second's at once.
    const fates = ['globalThis.lose = () => device.destroy()', 'device.destroy()', ''];
    await page.route('**/worker-*.js', async (route) => {
      const response = await route.fetch();
      const body = withDevice(fates.shift()!) + (await response.text());
      await route.fulfill({ response, body });
    });
    const told: string[] = [];
    await page.exposeFunction('tell', (words: string) => told.push(words));
    await page.goto(home());
    await page.getByRole('radio', { name: 'Converted' }).check();
    await page.getByText('Settings', { exact: true }).click();
    await page.getByLabel('Runs on').selectOption('webgpu');
    await load();
    await button('Show gifts and cherries').click();
    expect(await page.locator('.backend').textContent()).toBe('WebGPU');
    await page.evaluate(() => {
      new MutationObserver(() => {
        const words = document.querySelector('.notice')?.textContent;
        if (words) (globalThis as unknown as { tell(words: string): void }).tell(words);
      }).observe(document, { subtree: true, childList: true, characterData: true });
    });
    const [worker] = page.workers();
    await worker!.evaluate(() => (globalThis as unknown as { lose(): void }).lose());
    await button('what color is the background?').click();
    await answered();
    const lost = 'The graphics device was lost. Loading again';
    expect([...new Set(told)]).toEqual([
      `${lost}; the conversation is kept.`,
      `${lost}, this time on WebAssembly; the conversation is kept.`,
    ]);
    expect(await page.locator('.backend').textContent()).toBe('WebAssembly');
    expect(await answers()).toEqual(['yellow']);
    await gpu.close();
  }, 300_000);
});
