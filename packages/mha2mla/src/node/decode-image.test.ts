import { readFileSync } from 'node:fs';
import { fixture } from '@mha2mla/testing';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeImage, MAX_IMAGE_BYTES } from './decode-image';

interface Picture {
  file: string;
  width: number;
  height: number;
  rgb: string;
}

/** What Pillow makes of small pictures; see `testing/make-pictures.py`. */
const pictures: Record<string, Picture> = JSON.parse(
  readFileSync(fixture('packages/mha2mla/src/node/testing/pictures.json'), 'utf8'),
);
const bytesOf = (name: string) => Buffer.from(pictures[name]!.file, 'base64');

/** Three channels; grey and alpha as `toRgb` has it. */
async function rgbOf(bytes: Uint8Array) {
  const { data, width, height, channels = 3 } = await decodeImage(bytes, 'x');
  const rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    return data[Math.floor(i / 3) * channels + (i % 3)]!;
  });
  return { width, height, rgb };
}

describe('a picture has the values that Pillow gives it', () => {
  const deep = 'grey png of 16 bits';
  test.each(Object.keys(pictures).filter((name) => name !== deep))('%s', async (name) => {
    const { width, height, rgb } = pictures[name]!;
    const expected = { width, height, rgb: Uint8Array.from(Buffer.from(rgb, 'base64')) };
    expect(await rgbOf(bytesOf(name))).toEqual(expected);
  });

  test('but for 16-bit grey, which keeps its high byte instead of turning white', async () => {
    const grey = Uint8Array.from(Buffer.from(pictures['grey png']!.rgb, 'base64'));
    expect((await rgbOf(bytesOf(deep))).rgb).toEqual(grey);
    expect(Buffer.from(pictures[deep]!.rgb, 'base64').every((value) => value === 255)).toBe(true);
  });
});

describe('bytes that are no whole picture are refused', () => {
  test.each(['png', 'jpeg', 'progressive jpeg', 'cmyk jpeg', 'webp'])(
    '%s cut short',
    async (name) => {
      const bytes = bytesOf(name);
      for (const share of [0.1, 0.5, 0.75]) {
        const cut = bytes.subarray(0, Math.floor(bytes.length * share));
        await expect(decodeImage(cut, 'a.png')).rejects.toThrow(
          /^decodeImage: a\.png must be a whole PNG, JPEG or WebP picture .* got: .+/s,
        );
      }
    },
  );

  test('a PNG whose data fail their check sum', async () => {
    const bytes = bytesOf('png');
    bytes[bytes.length - 20]! ^= 1;
    await expect(decodeImage(bytes, 'x')).rejects.toThrow(RangeError);
  });

  test.each<[string, string | Uint8Array]>([
    ['nothing', ''],
    ['text', 'not a picture'],
    ['SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect/></svg>'],
    ['PDF', '%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF'],
    ['GIF', Buffer.from('R0lGODlhAQABAIAAAP8AAP8AACwAAAAAAQABAAACAkQBADs=', 'base64')],
    ['TIFF', oneGreyPixelTiff()],
    ['PPM', Buffer.from('P6 1 1 255\n\x01\x02\x03', 'latin1')],
  ])('%s', async (_, content) => {
    await expect(decodeImage(Buffer.from(content), 'x')).rejects.toThrow(
      /must be a whole PNG, JPEG or WebP picture/,
    );
  });

  test.each(['png', 'jpeg'])('a %s that claims more pixels than it may', async (name) => {
    const started = performance.now();
    const bytes = claimingSize(bytesOf(name), 64_250);
    await expect(decodeImage(bytes, 'x')).rejects.toThrow(/144000000 pixels, got: .*pixel limit/);
    // The header decides: decoding would take many seconds and 12 GB.
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test('more bytes than any picture has', async () => {
    const bytes = new Uint8Array(MAX_IMAGE_BYTES + 1);
    await expect(decodeImage(bytes, 'x')).rejects.toThrow('at most 67108864 bytes, got 67108865');
  });
});

test('any change of a picture gives a picture or an error of ours', async () => {
  const change = fc.tuple(fc.constantFrom(...Object.keys(pictures)), fc.nat(), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(change, async ([name, at, value]) => {
      const bytes = bytesOf(name);
      bytes[at % bytes.length] = value;
      try {
        const { data, width, height, channels } = await decodeImage(bytes, 'x');
        expect(data.length).toBe(width * height * channels!);
      } catch (error) {
        expect(error).toMatchObject({ message: expect.stringMatching(/^decodeImage: x must/) });
        expect(error).toBeInstanceOf(RangeError);
      }
    }),
    { seed: 1, numRuns: 300 },
  );
});

test.each([
  [1, 1],
  [1, 10_000],
  [10_000, 1],
])('a picture of %i x %i is decoded', async (width, height) => {
  const create = { width, height, channels: 3, background: { r: 10, g: 20, b: 30 } } as const;
  for (const format of ['png', 'jpeg', 'webp'] as const) {
    const bytes = await sharp({ create }).toFormat(format).toBuffer();
    const { data, ...size } = await decodeImage(bytes, 'x');
    expect(size).toEqual({ width, height, channels: 3 });
    expect(data).toHaveLength(3 * width * height);
  }
});

/** Another size in the header, check sum included. */
function claimingSize(bytes: Buffer, side: number): Buffer {
  const claimed = Buffer.from(bytes);
  if (claimed.readUInt16BE(0) === 0xffd8) {
    const frame = claimed.indexOf(Buffer.of(0xff, 0xc0)); // start of frame, baseline
    claimed.writeUInt16BE(side, frame + 5);
    claimed.writeUInt16BE(side, frame + 7);
    return claimed;
  }
  claimed.writeUInt32BE(side, 16);
  claimed.writeUInt32BE(side, 20);
  claimed.writeUInt32BE(crc32(claimed.subarray(12, 29)), 29);
  return claimed;
}

function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** Little-endian, uncompressed. */
function oneGreyPixelTiff(): Buffer {
  const tags = [
    [256, 1],
    [257, 1],
    [258, 8],
    [259, 1],
    [262, 1],
    [273, 8],
    [277, 1],
    [278, 1],
    [279, 1],
  ];
  const bytes = Buffer.alloc(10 + 2 + tags.length * 12 + 4);
  bytes.write('II*\0', 'latin1');
  bytes.writeUInt32LE(10, 4);
  bytes.writeUInt16LE(tags.length, 10);
  for (const [i, [tag, value]] of tags.entries()) {
    bytes.writeUInt16LE(tag!, 12 + i * 12);
    bytes.writeUInt16LE(3, 14 + i * 12);
    bytes.writeUInt32LE(1, 16 + i * 12);
    bytes.writeUInt16LE(value!, 20 + i * 12);
  }
  return bytes;
}
