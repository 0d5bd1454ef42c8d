/**
 * A checkpoint on a server, read by HTTP ranges. Only a 206 with the very bytes asked for counts: a
 * 200 means that the server ignores ranges and would send gigabytes. `If-Range` and the ETag keep
 * two versions of a file from being mixed. A response that is cut is gone on from where it broke off.
 */
import {
  allocateRead,
  assertRange,
  assertWholeRead,
  type ByteSource,
  type FileStore,
} from './byte-source';
import { CheckpointError } from './checkpoint-error';
import { httpStatus, lost, type Remote, readPart, request } from './http-range';
import { retryPause } from './http-retry';
import { assertPlainName } from './plain-name';
import { quoteName } from './quote-name';

/** Options of `httpStore`. */
export interface HttpStoreOptions {
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
  /** Sent with every request, such as `Authorization`. */
  headers?: Readonly<Record<string, string>>;
  /** How often in a row opening or a read may be cut without a byte more before it fails. Default 5. */
  retries?: number;
}

const NO_VERSION = { etag: undefined, modified: undefined };

/**
 * Makes a store of the files below a URL. Across origins, a server that exposes its ETag must also
 * allow the request headers `Range` and `If-Range`.
 * @param baseUrl of the folder, `http:` or `https:`
 * @throws CheckpointError `bad-path` for another scheme; `open` and `read` throw `http-status`,
 *   `range-ignored`, `source-changed`, `short-read`, `io`
 */
export function httpStore(
  baseUrl: string,
  { fetch: fetchOption, headers = {}, retries = 5 }: HttpStoreOptions = {},
): FileStore {
  const base = folderUrl(baseUrl);
  const send: typeof fetch = fetchOption ?? ((...request) => fetch(...request));
  return {
    name: baseUrl,
    async open(path, signal) {
      const url = new URL(encodeURIComponent(assertPlainName(path)), base).href;
      const remote = { url, name: path, fetch: send, headers, retries, ...NO_VERSION };
      // HEAD gives the size: `Content-Range` is hidden across origins.
      const response = await requestHead(remote, signal);
      if (response.status === 404) return undefined;
      const size = sizeOf(response.headers);
      const encoding = response.headers.get('content-encoding') ?? 'identity';
      if (!response.ok || !Number.isSafeInteger(size) || size < 0 || encoding !== 'identity') {
        throw httpStatus(
          remote,
          'HEAD must give 200 and a Content-Length of the plain file',
          response,
        );
      }
      const etag = response.headers.get('etag') ?? undefined;
      const modified = response.headers.get('last-modified') ?? undefined;
      return remoteSource({ ...remote, etag, modified }, size);
    },
  };
}

function remoteSource(remote: Remote, size: number): ByteSource {
  const source: ByteSource = {
    name: remote.name,
    size,
    version: remote.etag ?? remote.modified,
    async read(start, end, signal) {
      signal?.throwIfAborted();
      assertRange(source, start, end);
      if (start === end) return new Uint8Array(0);
      let bytes: Uint8Array | undefined;
      let received = 0;
      for (let cuts = 0; ; ) {
        const from = start + received;
        const into = (): Uint8Array => {
          bytes ??= allocateRead(source, end - start);
          return bytes.subarray(received);
        };
        const { length, cause } = await readPart(remote, [from, end, size], into, signal);
        received += length;
        if (from + length >= end) break;
        cuts = length > 0 ? 1 : cuts + 1;
        if (cuts <= remote.retries) await retryPause(cuts, signal);
        else if (cause) throw lost(remote, cause);
        else break;
      }
      assertWholeRead(source, start, end, received);
      return bytes!;
    },
  };
  return source;
}

/** The answer to HEAD; a lost connection is tried again, as a read is. */
async function requestHead(remote: Remote, signal: AbortSignal | undefined): Promise<Response> {
  for (let cuts = 1; ; cuts++) {
    try {
      // The open range has fetch ask for identity encoding, so that the length is the file's and
      // not its compression's.
      return await request(remote, { method: 'HEAD', range: 'bytes=0-', signal });
    } catch (cause) {
      signal?.throwIfAborted();
      if (cuts > remote.retries) throw lost(remote, cause);
    }
    await retryPause(cuts, signal);
  }
}

function folderUrl(baseUrl: string): URL {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new CheckpointError(
      'bad-path',
      `httpStore: baseUrl must be an absolute http or https URL, got ${quoteName(baseUrl)}. In a page: new URL('models/llava/', document.baseURI).href.`,
    );
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

/** The file's size; NaN when it is not told, or when only a part was offered. */
function sizeOf(headers: Headers): number {
  const size = Number(headers.get('content-length') ?? Number.NaN);
  const range = headers.get('content-range'); // where a server applies the range to HEAD too
  return range === null || range === `bytes 0-${size - 1}/${size}` ? size : Number.NaN;
}
