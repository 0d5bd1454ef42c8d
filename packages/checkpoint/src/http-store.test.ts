import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fixture } from '@mha2mla/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { httpStore } from './http-store';
import { openCheckpoint } from './open-checkpoint';
import { readJson } from './read-json';

const FOLDER = 'fixtures/hf/llava/checkpoint';
const BYTES = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

type Handler = (request: IncomingMessage, response: ServerResponse, file: Uint8Array) => void;

/** A sound server of ranges. */
const ranges: Handler = (request, response, file) => {
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const headers = { etag: '"v1"', 'accept-ranges': 'bytes' };
  if (request.method === 'HEAD' || match === null) {
    response.writeHead(200, { ...headers, 'content-length': file.length });
    return void response.end(request.method === 'HEAD' ? undefined : file);
  }
  const [start, end] = [Number(match[1]), match[2] ? Number(match[2]) : file.length - 1];
  response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${end}/${file.length}` });
  response.end(file.subarray(start, end + 1));
};

let server: Server;
let base: string;
let handler: Handler;
let seen: IncomingMessage[];
beforeAll(async () => {
  server = createServer((request, response) => {
    seen.push(request);
    const name = decodeURIComponent(request.url ?? '').slice('/folder/'.length);
    if (name === 'bytes') return handler(request, response, BYTES);
    try {
      handler(request, response, new Uint8Array(readFileSync(fixture(`${FOLDER}/${name}`))));
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/folder`;
});
beforeEach(() => {
  seen = [];
  handler = ranges;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** Answers HEAD soundly and GET otherwise. */
function getWith(answer: Handler): void {
  handler = (request, response, file) =>
    (request.method === 'HEAD' ? ranges : answer)(request, response, file);
}
async function opened(retries = 0) {
  const source = await httpStore(base, { retries }).open('bytes');
  if (source === undefined) throw new Error('bytes must be there');
  return source;
}

describe('httpStore', () => {
  it('a checkpoint opens over ranges and reads as from disk', async () => {
    const store = httpStore(base);
    const checkpoint = await openCheckpoint(store);
    const name = 'language_model.model.norm.weight';
    const info = checkpoint.tensors.get(name)!;
    const file = readFileSync(fixture(`${FOLDER}/model.safetensors`));
    expect(Buffer.from(await checkpoint.readBytes(name))).toEqual(
      file.subarray(info.start, info.end),
    );
    expect(await readJson(store, 'config.json')).toMatchObject({ model_type: 'llava' });
    expect(await store.open('none.json')).toBeUndefined();
    const gets = seen.filter(({ method }) => method === 'GET');
    expect(gets.every(({ headers }) => headers.range?.startsWith('bytes='))).toBe(true);
    expect(gets.every(({ headers }) => headers['if-range'] === '"v1"')).toBe(true);
  });

  it('an empty range costs no request, and given headers are sent', async () => {
    const source = await httpStore(`${base}/`, { headers: { authorization: 'Bearer x' } }).open(
      'bytes',
    );
    expect(await source!.read(5, 5)).toEqual(new Uint8Array(0));
    expect(await source!.read(0, 1000)).toEqual(BYTES);
    expect(seen.map(({ headers }) => headers.authorization)).toEqual(['Bearer x', 'Bearer x']);
  });

  it('a server that ignores ranges is refused, and its body is not awaited', async () => {
    getWith((_, response) => {
      response.writeHead(200, { etag: '"v1"' });
      response.write(new Uint8Array(10)); // and never ends
    });
    await expect((await opened()).read(1, 3)).rejects.toMatchObject({ code: 'range-ignored' });
  });

  it('without an ETag, its date tells the version', async () => {
    const dated =
      (date: string): Handler =>
      (request, response, file) => {
        response.setHeader('last-modified', date);
        response.writeHead(request.method === 'HEAD' ? 200 : 206, {
          'content-length': request.method === 'HEAD' ? file.length : 2,
        });
        response.end(request.method === 'HEAD' ? undefined : file.subarray(1, 3));
      };
    const [monday, tuesday] = ['Mon, 02 Nov 2026 10:00:00 GMT', 'Tue, 03 Nov 2026 10:00:00 GMT'];
    handler = dated(monday!);
    const source = await opened();
    expect(source.version).toBe(monday);
    expect(await source.read(1, 3)).toEqual(BYTES.subarray(1, 3));
    handler = dated(tuesday!);
    await expect(source.read(1, 3)).rejects.toMatchObject({ code: 'source-changed' });
    handler = ranges;
    expect((await opened()).version).toBe('"v1"');
  });

  it('opening is given up with the reason of its signal', async () => {
    handler = () => {}; // never answers
    const reason = new Error('stop');
    const controller = new AbortController();
    const opening = httpStore(base).open('bytes', controller.signal);
    controller.abort(reason);
    await expect(opening).rejects.toBe(reason);
  });

  it('a file that changed is refused, by ETag or by status', async () => {
    const other: Handler = (request, response, file) => {
      response.setHeader('etag', '"v2"');
      response.writeHead(200);
      response.end(request.method === 'HEAD' ? undefined : file);
    };
    const source = await opened();
    getWith(other);
    await expect(source.read(1, 3)).rejects.toMatchObject({ code: 'source-changed' });
    getWith((_, response) => void response.writeHead(412).end());
    await expect(source.read(1, 3)).rejects.toMatchObject({ code: 'source-changed' });
  });

  it.each<[string, string, Handler]>([
    [
      'another range',
      'range-ignored',
      (_, response, file) => {
        response.writeHead(206, { 'content-range': `bytes 0-1/${file.length}` });
        response.end(file.subarray(0, 2));
      },
    ],
    [
      'a range of another size of file',
      'range-ignored',
      (_, response) => {
        response.writeHead(206, { 'content-range': 'bytes 1-2/5' });
        response.end('ab');
      },
    ],
    ['too few bytes', 'short-read', (_, response) => void response.writeHead(206).end('a')],
    ['too many bytes', 'short-read', (_, response) => void response.writeHead(206).end('abcd')],
    ['no bytes', 'short-read', (_, response) => void response.writeHead(206).end()],
    ['an error', 'http-status', (_, response) => void response.writeHead(500).end()],
    ['a refusal', 'http-status', (_, response) => void response.writeHead(416).end()],
    [
      'a broken connection',
      'io',
      (_, response) => {
        response.writeHead(206, { 'content-length': 2 });
        response.write('a');
        setTimeout(() => response.destroy(), 5);
      },
    ],
  ])('%s is %s', async (_, code, answer) => {
    const source = await opened();
    getWith(answer);
    await expect(source.read(1, 3)).rejects.toMatchObject({ name: 'CheckpointError', code });
  });

  /** Sends a share of what is asked for, then breaks off. */
  const cutAt =
    (share: number, isClean: boolean): Handler =>
    (request, response, file) => {
      const [, start, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range!)!.map(Number);
      const asked = file.subarray(start, last! + 1);
      const range = `bytes ${start}-${last}/${file.length}`;
      const length = isClean ? {} : { 'content-length': asked.length };
      response.writeHead(206, { etag: '"v1"', 'content-range': range, ...length });
      response.write(asked.subarray(0, Math.ceil(share * asked.length)));
      if (isClean || share === 1) return void response.end();
      setTimeout(() => response.destroy(), 5);
    };

  it.each([true, false])(
    'responses that are cut are gone on from, cleanly or not',
    async (isClean) => {
      const source = await opened(2);
      getWith(cutAt(0.6, isClean));
      expect(await source.read(100, 900)).toEqual(BYTES.subarray(100, 900));
      const ranges = seen.filter(({ method }) => method === 'GET').map(({ headers }) => headers);
      expect(ranges.slice(0, 3).map(({ range }) => range)).toEqual([
        'bytes=100-899',
        'bytes=580-899',
        'bytes=772-899',
      ]);
      expect(ranges.every((headers) => headers['if-range'] === '"v1"')).toBe(true);
    },
  );

  it('a file that changes while it is resumed is refused, and so is one that stays cut', async () => {
    const source = await opened(2);
    let calls = 0;
    getWith((request, response, file) => {
      if (++calls === 1) return cutAt(0.6, true)(request, response, file);
      response.writeHead(200, { etag: '"v2"' });
      response.end(file);
    });
    await expect(source.read(100, 900)).rejects.toMatchObject({ code: 'source-changed' });
    for (const [isClean, code] of [
      [true, 'short-read'],
      [false, 'io'],
    ] as const) {
      calls = 0;
      getWith((request, response, file) => {
        calls++;
        cutAt(0, isClean)(request, response, file);
      });
      await expect(source.read(1, 3)).rejects.toMatchObject({ code });
      expect(calls).toBe(3);
    }
  });

  it('a connection that is lost while opening is tried again, as often as one of a read', async () => {
    const losing = (count: number) => {
      let calls = 0;
      handler = (request, response, file) =>
        ++calls <= count ? void response.destroy() : ranges(request, response, file);
    };
    losing(2);
    expect((await opened(2)).size).toBe(1000);
    expect(seen.map(({ method }) => method)).toEqual(['HEAD', 'HEAD', 'HEAD']);
    losing(3);
    await expect(opened(2)).rejects.toMatchObject({ code: 'io' });
    expect(seen).toHaveLength(6);
    handler = (_, response) => void response.writeHead(503).end();
    await expect(opened(2)).rejects.toMatchObject({ code: 'http-status' });
    expect(seen).toHaveLength(7);
  });

  it('abort is heard between two attempts', async () => {
    const source = await opened(5);
    const tries = [
      (signal: AbortSignal) => source.read(1, 3, signal),
      (signal: AbortSignal) => httpStore(base).open('bytes', signal),
    ];
    for (const attempt of tries) {
      const controller = new AbortController();
      handler = (_, response) => {
        response.destroy();
        setTimeout(() => controller.abort(new Error('enough')), 20);
      };
      await expect(attempt(controller.signal)).rejects.toThrow('enough');
    }
  });

  it('a size that cannot be known is refused', async () => {
    handler = (_, response) =>
      void response.writeHead(200, { 'transfer-encoding': 'chunked' }).end();
    await expect(opened()).rejects.toMatchObject({ code: 'http-status' });
    handler = (_, response) =>
      void response
        .writeHead(206, { 'content-length': 9, 'content-range': 'bytes 0-8/1000' })
        .end();
    await expect(opened()).rejects.toMatchObject({ code: 'http-status' });
    handler = (_, response) => void response.writeHead(403).end();
    await expect(opened()).rejects.toMatchObject({ code: 'http-status' });
  });

  it('abort rejects with the reason while a body is under way', async () => {
    const source = await opened();
    getWith((_, response) => {
      response.writeHead(206);
      response.write('a');
    });
    const reason = new Error('enough');
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 20);
    await expect(source.read(1, 3, controller.signal)).rejects.toBe(reason);
  });

  it('names that are no plain names and bases that are no URLs are refused', async () => {
    const store = httpStore(base);
    for (const name of ['../secret', 'a/b', 'http://x', '%2e%2e', 'a?b', 'a#b', '..']) {
      await expect(store.open(name), name).rejects.toMatchObject({ code: 'bad-path' });
    }
    expect(seen).toEqual([]);
    for (const url of ['models', 'file:///etc', 'javascript:1']) {
      expect(() => httpStore(url)).toThrowError(expect.objectContaining({ code: 'bad-path' }));
    }
  });
});
