/** One range of a file on a server: asked for, checked, received. */
import { CheckpointError } from './checkpoint-error';
import { quoteName } from './quote-name';

export interface Remote {
  url: string;
  name: string;
  fetch: typeof fetch;
  headers: Readonly<Record<string, string>>;
  retries: number;
  etag: string | undefined;
  /** `Last-Modified`, where there is no ETag: unlike that, it can be read across origins. */
  modified: string | undefined;
}

/** Bytes of one response: how many came, and why no more where the connection was lost. */
export interface Part {
  length: number;
  cause?: unknown;
}

/** @param into where the bytes go, once the response is found to be sound. */
export async function readPart(
  remote: Remote,
  [start, end, size]: readonly [number, number, number],
  into: () => Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Part> {
  const range = `bytes=${start}-${end - 1}`;
  let response: Response;
  try {
    response = await request(remote, { method: 'GET', range, signal });
  } catch (cause) {
    signal?.throwIfAborted();
    return { length: 0, cause };
  }
  try {
    assertPartial(remote, response, start, end, size);
  } catch (error) {
    await response.body?.cancel().catch(() => {}); // the error matters, not how the body ends
    throw error;
  }
  return receive(response, into(), signal);
}

export function request(
  remote: Remote,
  { method, range, signal }: { method: string; range: string; signal?: AbortSignal },
): Promise<Response> {
  const headers = new Headers(remote.headers);
  headers.set('Range', range);
  // A weak ETag may not be used here (RFC 9110, 13.1.5); it is still compared below.
  const { etag } = remote;
  if (etag !== undefined && !etag.startsWith('W/')) headers.set('If-Range', etag);
  return remote.fetch(remote.url, { method, headers, signal: signal ?? null });
}

/** Checks that a response holds the range that was asked for, of the version that was opened. */
function assertPartial(
  remote: Remote,
  response: Response,
  start: number,
  end: number,
  size: number,
): void {
  const [header, opened] =
    remote.etag !== undefined ? ['etag', remote.etag] : ['last-modified', remote.modified];
  const given = response.headers.get(header!);
  if ((opened !== undefined && given !== null && given !== opened) || response.status === 412) {
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
  const range = response.headers.get('content-range'); // hidden across origins unless exposed
  if (
    range !== null &&
    range.replace(/\/\*$/, `/${size}`) !== `bytes ${start}-${end - 1}/${size}`
  ) {
    throw new CheckpointError(
      'range-ignored',
      `httpStore: the server must send bytes ${start}-${end - 1}/${size} of ${quoteName(remote.url)}, got ${quoteName(range)}.`,
    );
  }
}

/** Reads a body into `bytes`; what does not fit is counted, not kept. */
async function receive(
  response: Response,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Part> {
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
    return { length: received, cause };
  }
  return { length: received };
}

export function httpStatus(remote: Remote, must: string, response: Response): CheckpointError {
  return new CheckpointError(
    'http-status',
    `httpStore: ${must}, got ${response.status} for ${quoteName(remote.url)}.`,
  );
}

export function lost(remote: Remote, cause: unknown): CheckpointError {
  return new CheckpointError(
    'io',
    `httpStore: ${quoteName(remote.url)} must be reachable; the connection failed.`,
    { cause },
  );
}
