import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadQuestions, readPicture, readVideo } from './load-data';

let root: string;
let folder: string;
const create = { width: 2, height: 1, channels: 3, background: { r: 1, g: 2, b: 3 } } as const;
const png = await sharp({ create }).png().toBuffer();
const picture = { data: Buffer.of(1, 2, 3, 1, 2, 3), width: 2, height: 1, channels: 3 };

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mha2mla-data-'));
  folder = join(root, 'data');
  await mkdir(join(folder, 'images'), { recursive: true });
  await writeFile(join(folder, 'images/a.png'), png);
  await writeFile(join(root, 'outside.png'), png);
  await writeFile(join(folder, 'cut.png'), png.subarray(0, png.length / 2));
  await symlink(join(root, 'outside.png'), join(folder, 'link.png'));
  await symlink('images/a.png', join(folder, 'inner.png'));
});
afterAll(() => rm(root, { recursive: true }));

function entry(images: string[], ...more: object[]) {
  const content = `${'<image>'.repeat(images.length)}what is it?`;
  const messages = [{ role: 'user', content }, { role: 'assistant', content: 'a cup' }, ...more];
  return JSON.stringify({ images, messages });
}

async function dataFile(text: string | Uint8Array): Promise<string> {
  const path = join(folder, 'test.jsonl');
  await writeFile(path, text);
  return path;
}

/** Load the pictures of the second of two entries. */
async function secondPictures(name: string) {
  const questions = await loadQuestions(await dataFile(`${entry([])}\n${entry([name])}`));
  return (await questions[1]!.loadMedia()).images;
}

test('questions come in order, without their answers, up to the limit', async () => {
  const path = await dataFile([entry([]), entry(['images/a.png']), entry([])].join('\n'));
  expect(await loadQuestions(path)).toHaveLength(3);
  const questions = await loadQuestions(path, 2);
  expect(questions).toHaveLength(2);
  const { loadMedia, ...question } = questions[1]!;
  expect(question).toEqual({
    messages: [{ role: 'user', content: '<image>what is it?' }],
    answers: ['a cup'],
    mediaKey: '[["images/a.png"],[]]',
  });
  expect(await loadMedia()).toEqual({ images: [picture], videos: [] });
});

test('a byte order mark is left out, bytes that are no UTF-8 are refused', async () => {
  expect(await loadQuestions(await dataFile(`\ufeff${entry([])}`))).toHaveLength(1);
  const path = await dataFile(Buffer.from(entry([]).replace('cup', 'caf\xe9'), 'latin1'));
  await expect(loadQuestions(path)).rejects.toThrow('must be text in UTF-8');
});

test('a conversation that ends with a question is refused by its line', async () => {
  const path = await dataFile(`${entry([])}\n${entry([], { role: 'user', content: 'more?' })}`);
  await expect(loadQuestions(path)).rejects.toThrow(
    'questionOf: "test.jsonl:2" must end with a turn of the assistant, got "user"',
  );
});

test('a file that is missing, or a folder, is refused by name', async () => {
  await expect(loadQuestions(join(folder, 'none.jsonl'))).rejects.toMatchObject({
    code: 'missing-file',
    message: expect.stringMatching(/none\.jsonl" must be a readable file, got ENOENT/),
  });
  await expect(loadQuestions(folder)).rejects.toThrow('must be a regular file');
});

describe('videos', () => {
  const question = (videos: unknown) => {
    const messages = [
      { role: 'user', content: '<video>what happens?' },
      { role: 'assistant', content: 'rain' },
    ];
    return dataFile(JSON.stringify({ videos, messages }));
  };
  const load = async (videos: unknown) =>
    (await (await loadQuestions(await question(videos)))[0]!.loadMedia()).videos!;

  beforeAll(async () => {
    await mkdir(join(folder, 'clip'));
    for (const [i, name] of ['frame10.png', 'frame2.PNG', 'frame1.jpeg', 'notes.txt'].entries()) {
      await writeFile(
        join(folder, 'clip', name),
        await sharp({ create: { ...create, width: i + 1 } })
          .png()
          .toBuffer(),
      );
    }
    await mkdir(join(folder, 'empty'));
    await symlink(join(root, 'outside.png'), join(folder, 'empty/link.png'));
  });

  test('a folder is its pictures, in the order of their numbers', async () => {
    const [video] = await load('clip');
    expect(video!.fps).toBe(2);
    expect(video!.frames.map(({ width }) => width)).toEqual([3, 2, 1]);
    expect(await load([{ frames: 'clip', fps: 12.5 }])).toEqual([{ ...video, fps: 12.5 }]);
    expect(await readVideo(join(folder, 'clip/../clip/'), 2)).toEqual(video);
  });

  test('frames may be listed, in any order', async () => {
    const [video] = await load({ frames: ['clip/frame10.png', 'images/a.png'], fps: 1 });
    expect(video!.frames.map(({ width }) => width)).toEqual([1, 2]);
  });

  test.each<[string, unknown, RegExp]>([
    ['missing', 'none', /"none" must exist/],
    ['outside', '..', /must stay inside of its folder/],
    ['without pictures', 'images/../../data/none', /must exist/],
    ['a file', 'cut.png', /ENOTDIR/],
    ['a frame outside by a link', 'empty', /must stay inside of its folder/],
    ['a frame that is missing', { frames: ['clip/none.png'] }, /"clip\/none.png" must exist/],
  ])('%s: refused, and the entry is named', async (_, videos, message) => {
    await expect(load(videos)).rejects.toThrow(message);
    await expect(load(videos)).rejects.toThrow(/^"test\.jsonl:1": /);
  });

  test('a folder without pictures is refused', async () => {
    await mkdir(join(folder, 'bare'));
    await expect(load('bare')).rejects.toThrow(
      /1 to 768 PNG, JPEG or WebP frames, got 0 in "bare"/,
    );
  });
});

describe('pictures', () => {
  test.each(['images/a.png', './images/../images/a.png', 'inner.png'])('%s', async (name) => {
    expect(await secondPictures(name)).toEqual([picture]);
  });

  test('in a data: URL', async () => {
    const url = `data:image/png;base64,${png.toString('base64')}`;
    expect(await secondPictures(url)).toEqual([picture]);
  });

  test.each<[string, string, RegExp]>([
    ['missing', 'images/none.png', /"images\/none\.png" must exist/],
    ['outside by ..', '../outside.png', /must stay inside of its folder/],
    ['outside by a link', 'link.png', /must stay inside of its folder/],
    ['absolute', '/etc/hostname', /must be relative/],
    ['a URL', 'http://example.com/a.png', /URLs are not fetched/],
    ['a file: URL', 'file:///etc/hostname', /URLs are not fetched/],
    ['with a control character', 'a\u001b[2J.png', /no control characters, got "a\\u001b/],
    ['a folder', 'images', /must be a regular file/],
    ['cut short', 'cut.png', /"cut\.png" must be a whole PNG/],
    ['a data: URL of another kind', 'data:text/html;base64,PGI+', /base64 picture of at most/],
    ['a data: URL of SVG', 'data:image/svg+xml;base64,PHN2Zy8+', /must be a whole PNG/],
    ['a data: URL of nothing', 'data:image/png;base64,', /must be a whole PNG/],
  ])('%s: refused, and the entry is named', async (_, name, message) => {
    await expect(secondPictures(name)).rejects.toThrow(message);
    await expect(secondPictures(name)).rejects.toThrow(/^"test\.jsonl:2": /);
  });

  test('a data: URL of more bytes than a picture may have is refused', async () => {
    const url = `data:image/png;base64,${'A'.repeat(90 * 2 ** 20)}`;
    await expect(secondPictures(url)).rejects.toThrow(/at most 67108864 bytes, got "data:image/);
  });

  test('a missing one keeps its code, and one of the command line its name', async () => {
    await expect(secondPictures('none.png')).rejects.toMatchObject({ code: 'missing-file' });
    const path = join(folder, 'none.png');
    await expect(readPicture(path)).rejects.toMatchObject({
      code: 'missing-file',
      message: expect.stringContaining('none.png" must be a readable file, got ENOENT'),
    });
  });
});
