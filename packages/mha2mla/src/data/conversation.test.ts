import { CheckpointError } from '@mha2mla/checkpoint';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseConversations } from './conversation';

const chat = {
  images: ['a.png'],
  videos: [],
  messages: [
    { role: 'user', content: '<image>what is it?' },
    { role: 'assistant', content: 'a cup' },
  ],
};
const lines = (...entries: unknown[]) => entries.map((entry) => JSON.stringify(entry)).join('\n');

describe('both forms of a conversation are read', () => {
  const expected = {
    messages: chat.messages,
    images: ['a.png'],
    videos: [],
    answers: ['a cup'],
    extra: new Map(),
    where: '"d.jsonl:1"',
  };

  test('chat messages', () => {
    expect(parseConversations(lines(chat), 'd.jsonl')).toEqual([expected]);
  });

  test("LLaVA's, with human and gpt, and one picture as text", () => {
    const entry = {
      image: 'a.png',
      conversations: [
        { from: 'human', value: '<image>what is it?' },
        { from: 'gpt', value: 'a cup' },
      ],
    };
    expect(parseConversations(lines(entry), 'd.jsonl')).toEqual([expected]);
  });

  test('parts, their text the answer', () => {
    const messages = [
      { role: 'system', content: [{ type: 'text', text: 'Be short.' }] },
      { role: 'user', content: [{ type: 'image' }, { type: 'text', text: 'what is it?' }] },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'a ' },
          { type: 'text', text: 'cup' },
        ],
      },
    ];
    const [parsed] = parseConversations(lines({ ...chat, messages }), 'd.jsonl');
    expect(parsed).toEqual({ ...expected, messages });
  });

  test('a list of accepted answers, the first of which is said', () => {
    const messages = [chat.messages[0], { role: 'assistant', content: ['a cup', 'a mug'] }];
    const [parsed] = parseConversations(lines({ ...chat, messages }), 'd.jsonl');
    expect(parsed).toEqual({ ...expected, answers: ['a cup', 'a mug'] });
  });

  test('a conversation without pictures, that ends with a question', () => {
    const messages = [{ role: 'user', content: 'hello' }];
    expect(parseConversations(lines({ messages }), 'd.jsonl')).toEqual([
      { ...expected, messages, images: [], answers: [] },
    ]);
  });
});

test('videos are folders of frames or lists, with their rate', () => {
  const content = '<image>and<video><video><video>?';
  const videos = ['clip', { frames: ['b.png', 'a.png'], fps: 0.5 }, { frames: 'c', fps: 30 }];
  const [parsed] = parseConversations(
    lines({ image: 'a.png', videos, messages: [{ role: 'user', content }] }),
    'd',
  );
  expect(parsed!.videos).toEqual([{ frames: 'clip', fps: 2 }, ...videos.slice(1)]);
  const llava = { video: 'clip', conversations: [{ from: 'human', value: '<video>?' }] };
  expect(parseConversations(lines(llava), 'd')[0]!.videos).toEqual([{ frames: 'clip', fps: 2 }]);
});

test('a JSON list, JSON lines, and lines with blanks and line ends of Windows are the same', () => {
  const entries = [chat, { ...chat, kind: 'what' }];
  const without = (text: string) =>
    parseConversations(text, 'd').map(({ where: _, ...conversation }) => conversation);
  const list = without(JSON.stringify(entries, null, 2));
  expect(list).toHaveLength(2);
  expect(without(lines(...entries))).toEqual(list);
  expect(without(`\r\n${lines(...entries).replace('\n', '\r\n\r\n')}\r\n`)).toEqual(list);
});

test('the kind and other keys are kept, a name that JavaScript knows among them', () => {
  const text = `{"kind":"what","id":7,"__proto__":{"images":["x"]},${lines(chat).slice(1)}`;
  const [parsed] = parseConversations(text, 'd');
  expect(parsed!.kind).toBe('what');
  expect([...parsed!.extra]).toEqual([
    ['id', 7],
    ['__proto__', { images: ['x'] }],
  ]);
  expect(parsed!.images).toEqual(['a.png']);
});

describe('what is malformed is refused by its line, or by its place in a list', () => {
  const turns = (...messages: unknown[]) => ({ ...chat, images: [], messages });
  test.each<[string, unknown, RegExp]>([
    ['no object', [1], /must be a JSON object, got a list/],
    ['null', null, /must be a JSON object, got null/],
    ['no turns', { images: [] }, /must have messages or conversations, .* got undefined/],
    ['an empty list of turns', turns(), /a list of turns, got an empty list/],
    ['turns in text', { messages: 'hello' }, /a list of turns, got string/],
    ['a turn that is null', turns(null), /a turn in .* must have a role .* got undefined/],
    ['a role that is no text', turns({ role: 1 }), /must have a role .* got 1/],
    ['no content', turns({ role: 'user' }), /must have content .* got undefined/],
    ['no parts', turns({ role: 'user', content: [] }), /must have content .* got \[\]/],
    ['no answers', turns({ role: 'assistant', content: [] }), /must have content .* got \[\]/],
    ['texts of a user', turns({ role: 'user', content: ['a', 'b'] }), /got \["a","b"\]/],
    [
      'a part of another kind',
      turns({ role: 'user', content: [{ type: 'image_url', image_url: 'http://x' }] }),
      /must have content .* got \[\{"type":"image_url"/,
    ],
    ['pictures that are no paths', { ...chat, images: [{}] }, /images of .* got a list/],
    ['a picture that is no path', { ...chat, images: 3 }, /images of .* got number/],
    ['a video that is no path', { ...chat, videos: [3] }, /a video of .* got 3/],
    [
      'frames that are none',
      { ...chat, videos: { frames: [] } },
      /a video of .* got \{"frames":\[\]/,
    ],
    ['a rate of nothing', { ...chat, videos: { frames: 'a', fps: 0 } }, /fps .* positive .* got 0/],
    ['a rate in text', { ...chat, videos: { frames: 'a', fps: '2' } }, /fps .* got "2"/],
    ['a video without a place', { ...chat, videos: 'a' }, /got 0 places and 1 videos/],
    ['a kind that is no text', { ...chat, kind: 3 }, /kind of .* must be text, got number/],
    ['a picture without a place', { ...chat, images: ['a', 'b'] }, /got 1 places and 2 pictures/],
    ['a place without a picture', { ...chat, images: [] }, /got 1 places and 0 pictures/],
  ])('%s', (_, entry, message) => {
    const inLines = () => parseConversations(`\n${lines(chat, entry)}`, 'd.jsonl');
    expect(inLines).toThrow(message);
    expect(inLines).toThrow('"d.jsonl:3"');
    const inList = () => parseConversations(JSON.stringify([chat, entry]), 'd.json');
    expect(inList).toThrow(message);
    expect(inList).toThrow('entry 2 of "d.json"');
  });

  test.each([
    ['a line cut short', `${lines(chat)}\n{"messages": [`, 'not-json', '"d.jsonl:2"'],
    ['a list cut short', '[{"messages": []}', 'not-json', '"d.jsonl"'],
    ['equal keys', `${lines(chat)}\n{"kind": "a", "kind": "b"}`, 'duplicate-key', '"d.jsonl:2"'],
    ['nesting without end', `${'[{"a":'.repeat(100)}`, 'too-deep', '"d.jsonl"'],
  ])('%s', (_, text, code, where) => {
    const parse = () => parseConversations(text, 'd.jsonl');
    expect(parse).toThrow(expect.objectContaining({ code }));
    expect(parse).toThrow(where);
  });

  test.each(['', '\n \n', '[]', ' [ ] '])('nothing at all: %j', (text) => {
    expect(() => parseConversations(text, 'd.jsonl')).toThrow(
      '"d.jsonl" must hold conversations, got none',
    );
  });
});

test('any text is conversations or an error of ours', () => {
  const value = fc.letrec((tie) => ({
    any: fc.oneof({ maxDepth: 3 }, fc.jsonValue(), tie('turn'), fc.array(tie('any'))),
    turn: fc.record(
      Object.fromEntries(
        ['role', 'from', 'content', 'value', 'type', 'text'].map((key) => [
          key,
          fc.oneof(fc.constantFrom('user', 'human', 'assistant', 'image', '<image>'), tie('any')),
        ]),
      ),
      { requiredKeys: [] },
    ),
  })).any;
  const keys = ['messages', 'conversations', 'images', 'image', 'kind', '__proto__'];
  const entry = fc.record(Object.fromEntries(keys.map((key) => [key, value])), {
    requiredKeys: [],
  });
  const text = fc.oneof(
    fc.string(),
    entry.map((one) => JSON.stringify(one)),
    fc.array(entry).map((all) => JSON.stringify(all)),
    fc.tuple(entry, fc.nat(), fc.string({ maxLength: 2 })).map(([one, at, piece]) => {
      const whole = JSON.stringify(one);
      return whole.slice(0, at % whole.length) + piece + whole.slice((at % whole.length) + 1);
    }),
  );
  fc.assert(
    fc.property(text, (one) => {
      try {
        expect(parseConversations(one, 'd').length).toBeGreaterThan(0);
      } catch (error) {
        const own = [CheckpointError, TypeError, RangeError].some((kind) => error instanceof kind);
        if (!own || !/^parse(Conversations|Json): /.test((error as Error).message)) throw error;
      }
    }),
    { seed: 1, numRuns: 300 },
  );
});
