/**
 * A checkpoint on a server, read by HTTP ranges. Only a 206 with the very bytes asked for counts: a
 * 200 means that the server ignores ranges and would send gigabytes. `If-Range` and the ETag keep
 * two versions of a file from being mixed.
 */
import {
  allocateRead,
  assertRange,
  assertWholeRead,
  type ByteSource,
  type FileStore,
} from './byte-source';
import { CheckpointError } from './checkpoint-error';
import { assertPlainName } from './plain-name';
import { quoteName } from './quote-name';

/** Options of `httpStore`. */
export interface HttpStoreOptions {
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
  /** Sent with every request, such as `Authorization`. */
  headers?: Readonly<Record<string, string>>;
}

interface Remote {
  url: string;
  name: string;
  fetch: typeof fetch;
  headers: Readonly<Record<string, string>>;
  etag: string | undefined;
}

/**
 * Makes a store of the files below a URL. Across origins, a server that exposes its ETag must also
 * allow the request headers `Range` and `If-Range`.
 * @param baseUrl of the folder, `http:` or `https:`
 * @throws CheckpointError `bad-path` for another scheme; `open` and `read` throw `http-status`,
 *   `range-ignored`, `source-changed`, `short-read`, `io`
 */
export function httpStore(
  baseUrl: string,
  { fetch: fetchOption, headers = {} }: HttpStoreOptions = {},
): FileStore {
  const base = folderUrl(baseUrl);
  const send: typeof fetch = fetchOption ?? ((...request) => fetch(...request));
  return {
    name: baseUrl,
    async open(path) {
      const url = new URL(encodeURIComponent(assertPlainName(path)), base).href;
      const remote = { url, name: path, fetch: send, headers, etag: undefined };
      // HEAD gives the size (`Content-Range` is hidden across origins). The open range has fetch
      // ask for identity encoding, so that the length is the file's and not its compression's.
      const response = await request(remote, { method: 'HEAD', range: 'bytes=0-' });
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
      return remoteSource({ ...remote, etag: response.headers.get('etag') ?? undefined }, size);
    },
  };
}

function remoteSource(remote: Remote, size: number): ByteSource {
  const source: ByteSource = {
    name: remote.name,
    size,
    async read(start, end, signal) {
      signal?.throwIfAborted();
      assertRange(source, start, end);
      if (start === end) return new Uint8Array(0);
      const range = `bytes=${start}-${end - 1}`;
      const response = await request(remote, { method: 'GET', range, signal });
      try {
        assertPartial(remote, response, start, end, size);
      } catch (error) {
        await response.body?.cancel().catch(() => {}); // the error matters, not how the body ends
        throw error;
      }
      const bytes = allocateRead(source, end - start);
      const received = await receive(remote, response, bytes, signal);
      assertWholeRead(source, start, end, received);
      return bytes;
    },
  };
  return source;
}

async function request(
  remote: Remote,
  { method, range, signal }: { method: string; range: string; signal?: AbortSignal },
): Promise<Response> {
  const headers = new Headers(remote.headers);
  headers.set('Range', range);
  // A weak ETag may not be used here (RFC 9110, 13.1.5); it is still compared below.
  const { etag } = remote;
  if (etag !== undefined && !etag.startsWith('W/')) headers.set('If-Range', etag);
  try {
    return await remote.fetch(remote.url, { method, headers, signal: signal ?? null });
  } catch (cause) {
    signal?.throwIfAborted();
    throw lost(remote, cause);
  }
}

/** The file's size; NaN when it is not told, or when only a part was offered. */
function sizeOf(headers: Headers): number {
  const size = Number(headers.get('content-length') ?? Number.NaN);
  const range = headers.get('content-range'); // where a server applies the range to HEAD too
  return range === null || range === `bytes 0-${size - 1}/${size}` ? size : Number.NaN;
}

/** Checks that a response holds the range that was asked for, of the version that was opened. */
function assertPartial(
  remote: Remote,
  response: Response,
  start: number,
  end: number,
  size: number,
): void {
  const etag = response.headers.get('etag') ?? undefined;
  const changed = remote.etag !== undefined && etag !== undefined && etag !== remote.etag;
  if (changed || response.status === 412) {
    throw new CheckpointError(
      'source-changed',
      `httpStore: ${quoteName(remote.url)} must stay the same while it is read, got another version. Open it again.`,
    );
  }
  if (response.status === 200) {
    throw new CheckpointError(
      'range-ignored',
      `httpStore: the server must answer a range of ${quoteName(remote.url)} with 206, got 200 (the whole file). Use a server that supports HTTP ranges; many development servers do not.`,
    );
  }
  if (response.status !== 206)
    throw httpStatus(remote, 'a range must be answered with 206', response);
  const given = response.headers.get('content-range'); // hidden across origins unless exposed
  if (
    given !== null &&
    given.replace(/\/\*$/, `/${size}`) !== `bytes ${start}-${end - 1}/${size}`
  ) {
    throw new CheckpointError(
      'range-ignored',
      `httpStore: the server must send bytes ${start}-${end - 1}/${size} of ${quoteName(remote.url)}, got ${quoteName(given)}.`,
    );
  }
}

/** Reads a body into `bytes` and gives its length; what does not fit is counted, not kept. */
async function receive(
  remote: Remote,
  response: Response,
  bytes: Uint8Array,
  signal?: AbortSignal,
): Promise<number> {
  const length = bytes.byteLength;
  let received = 0;
  const reader = response.body?.getReader();
  try {
    while (reader !== undefined && received <= length) {
      const { done, value } = await reader.read();
      if (done) break;
      if (received + value.byteLength <= length) bytes.set(value, received);
      received += value.byteLength;
    }
    if (received > length) await reader?.cancel();
  } catch (cause) {
    signal?.throwIfAborted();
    throw lost(remote, cause);
  }
  return received;
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

function httpStatus(remote: Remote, must: string, response: Response): CheckpointError {
  return new CheckpointError(
    'http-status',
    `httpStore: ${must}, got ${response.status} for ${quoteName(remote.url)}.`,
  );
}

function lost(remote: Remote, cause: unknown): CheckpointError {
  return new CheckpointError(
    'io',
    `httpStore: ${quoteName(remote.url)} must be reachable; the connection failed.`,
    { cause },
  );
}
