/** Kept models in a browser's own storage, from a server of another origin that cuts each response. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describeChromium, fixture } from '@mha2mla/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Asked, Kept } from './testing/page/page';

const FOLDER = fixture('models/llava');
const FILES = new Map(
  readdirSync(FOLDER).map((name) => [name, new Uint8Array(readFileSync(`${FOLDER}/${name}`))]),
);
const TOTAL = [...FILES.values()].reduce((sum, { length }) => sum + length, 0);
const PIECE = 2 ** 21;

let server: Server;
let asked: Asked;
/** Bytes that were sent, and of each response the share. */
let sent = 0;
let share = 1;
let version = '"1"';
beforeAll(async () => {
  server = createServer((request, response) => {
    const file = FILES.get(request.url!.slice('/llava/'.length));
    response.setHeader('access-control-allow-origin', '*');
    response.setHeader('access-control-allow-headers', 'range, if-range');
    response.setHeader('access-control-expose-headers', 'etag');
    if (request.method === 'OPTIONS') return void response.writeHead(204).end();
    if (!file) return void response.writeHead(404).end();
    response.setHeader('etag', version);
    if (request.method === 'HEAD') {
      return void response.writeHead(200, { 'content-length': file.length }).end();
    }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range!)!.map(Number);
    const part = file.subarray(first, last! + 1);
    response.writeHead(206, { 'content-length': part.length });
    const given = part.subarray(0, Math.ceil(part.length * share));
    sent += given.length;
    response.write(given, () => {
      // Chromium forgets what it was sent by a connection that breaks at once.
      if (given.length < part.length) setTimeout(() => response.destroy(), 20);
      else response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/llava/`;
  asked = { url, name: 'llava', pieceBytes: PIECE };
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const scripts = {
  page: fixture('packages/checkpoint/src/testing/page/page.ts'),
  worker: fixture('packages/checkpoint/src/testing/page/worker.ts'),
};

describeChromium('kept models', { scripts }, (page) => {
  const expectKept = async (name = 'llava') => {
    const expected = [...FILES].map(([file, bytes]) => [
      file,
      createHash('sha256').update(bytes).digest('hex'),
    ]);
    expect(await page.call('hashes', name)).toEqual(Object.fromEntries(expected));
  };

  test('a download that is cut goes on after a reload, opens with equal bytes, and frees them', async () => {
    share = 0.6;
    const half = await page.call<Kept>('keepUntil', asked, TOTAL / 4);
    expect(await page.call('openCode', 'llava')).toBe('missing-file');
    await page.reload();
    const [partial] = await page.call<{ complete: boolean; keptBytes: number }[]>('list');
    expect(partial).toMatchObject({ complete: false });
    const rest = await page.call<Kept>('keep', asked);
    expect(rest.error).toBeUndefined();
    expect(rest.checked).toBeGreaterThanOrEqual(half.loaded);
    expect(rest.loaded).toBe(TOTAL);
    await page.reload();
    await expectKept();
    const model = { name: 'llava', source: asked.url, sizeBytes: TOTAL, keptBytes: TOTAL };
    expect(await page.call('list')).toEqual([{ ...model, complete: true }]);
    const used = await page.call<number>('usage');
    const freed = await page.call<number>('removeKept', 'llava');
    expect(freed).toBeGreaterThan(TOTAL);
    expect(await page.call<number>('usage')).toBeLessThanOrEqual(used - TOTAL);
    expect(await page.call('list')).toEqual([]);
  });

  test('two tabs that keep one model load it once, and neither removes it meanwhile', async () => {
    share = 1;
    sent = 0;
    const [first, second] = await page.call<[Kept, Kept]>('keepTwice', asked);
    expect([first.checked, second.checked].sort((a, b) => a - b)).toEqual([0, TOTAL]);
    expect(sent).toBeLessThan(TOTAL * 1.1); // configs are read for plans, too
    await expectKept();
    version = '"2"';
    expect(await page.call('removeBusy', asked)).toBe('output-locked');
    await expectKept(); // the version before, while the next is not whole
  });

  test('without a worker, too', async () => {
    expect(await page.call('keepHere', { ...asked, name: 'here' })).toBe(TOTAL);
    await expectKept('here');
  });
});
