/** A server of files for tests, on a port of its own: answers HEAD, GET and ranges. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FileServer {
  /** Such as `http://127.0.0.1:1234/`. */
  url: string;
  close(): Promise<void>;
}

/** @param find the bytes and the type of a path such as `models/llava/config.json`, if it is there. */
export async function serveFiles(
  find: (path: string) => { bytes: Uint8Array; type?: string } | undefined,
): Promise<FileServer> {
  const server = createServer((request, response) => {
    const file = find(
      decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname.slice(1)),
    );
    if (!file) return void response.writeHead(404).end();
    const { bytes, type = 'application/octet-stream' } = file;
    const headers = { 'content-type': type, 'accept-ranges': 'bytes', etag: '"1"' };
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    if (request.method === 'HEAD' || !range) {
      response.writeHead(200, { ...headers, 'content-length': bytes.length });
      return void response.end(request.method === 'HEAD' ? undefined : bytes);
    }
    const [start, last] = [Number(range[1]), range[2] ? Number(range[2]) : bytes.length - 1];
    const part = bytes.subarray(start, last + 1);
    response.writeHead(206, {
      ...headers,
      'content-length': part.length,
      'content-range': `bytes ${start}-${last}/${bytes.length}`,
    });
    response.end(part);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
