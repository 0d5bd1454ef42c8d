/** What is refused before a browser decodes it; that it decodes is tested in Chromium. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { decodeImage } from './decode-image';

const decodes = vi.fn(() => Promise.reject(new DOMException('no', 'InvalidStateError')));

beforeEach(() => {
  vi.stubGlobal('createImageBitmap', decodes);
  vi.stubGlobal('OffscreenCanvas', class {});
  decodes.mockClear();
});
afterEach(() => vi.unstubAllGlobals());

/** The beginning of a PNG that says how large it is. */
function png(width: number, height: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(33);
  bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const view = new DataView(bytes.buffer);
  view.setUint32(8, 13);
  bytes.set([0x49, 0x48, 0x44, 0x52], 12);
  view.setUint32(16, width);
  view.setUint32(20, height);
  bytes.set([8, 2], 24);
  return bytes;
}

const largest = Object.defineProperty(new Blob([]), 'size', { value: 2 ** 26 + 1 });

test.each<[string, Blob, RegExp]>([
  [
    'claims too many pixels',
    new Blob([png(64_250, 64_250)]),
    /178956970 pixels, got 64250 x 64250/,
  ],
  [
    'is another thing',
    new Blob(['<svg/>'], { type: 'image/svg+xml' }),
    /got 6 bytes of type "image/,
  ],
  ['is empty', new Blob([]), /got 0 bytes of type ""/],
  ['has too many bytes', largest, /at most 67108864 bytes, got 67108865/],
])('a file that %s is refused, and not decoded', async (_, file, message) => {
  await expect(decodeImage(file)).rejects.toMatchObject({
    code: 'bad-image',
    message: expect.stringMatching(message),
  });
  expect(decodes).not.toHaveBeenCalled();
});

test('a file that does not decode is an error with its cause', async () => {
  const refused = decodeImage(new Blob([png(4, 4)], { type: 'image/png' }));
  await expect(refused).rejects.toMatchObject({
    code: 'bad-image',
    cause: { name: 'InvalidStateError' },
  });
  expect(decodes).toHaveBeenCalledOnce();
});
