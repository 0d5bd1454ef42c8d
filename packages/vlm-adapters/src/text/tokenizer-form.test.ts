import { readFileSync } from 'node:fs';
import { fixture } from '@mha2mla/testing';
import { describe, expect, test } from 'vitest';
import { checkTokenizerForm } from './tokenizer-form';

const readJson = (path: string) => JSON.parse(readFileSync(fixture(path), 'utf8'));
const llava = readJson('fixtures/hf/llava/checkpoint/tokenizer.json');

test.each([
  'fixtures/hf/llava/checkpoint',
  'fixtures/hf/llava_next/checkpoint',
  'fixtures/hf/qwen2_5_vl/checkpoint',
  'models/llava',
])('the tokenizer of %s has a known form', (folder) => {
  expect(() => checkTokenizerForm(readJson(`${folder}/tokenizer.json`))).not.toThrow();
});

test('merges may be texts, stages absent, and a stage without a sequence', () => {
  const merges = llava.model.merges.map((pair: string[]) => pair.join(' '));
  const form = {
    ...llava,
    model: { ...llava.model, merges },
    normalizer: { type: 'NFC' },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
    post_processor: null,
    decoder: null,
  };
  expect(() => checkTokenizerForm(form)).not.toThrow();
});

/** Each failed once, in the library or without an end. */
describe('a program of another form is refused by name', () => {
  const replace = (pattern: unknown, content: unknown = '') => ({
    type: 'Replace',
    pattern,
    content,
  });
  const blanks = { type: 'Metaspace', str_rep: ' '.repeat(16) };
  const bytes = { type: 'ByteLevel', use_regex: false };
  const sixteenfold = replace({ String: 'a' }, 'a'.repeat(16));
  test.each<[string, object, RegExp]>([
    ['an unknown type', { normalizer: { type: 'Precompiled' } }, /normalizer must be of the types/],
    ['no stage', { normalizer: undefined }, /normalizer must be a JSON object, got undefined/],
    ['a sequence of nothing', { decoder: { type: 'Sequence' } }, /decoder.decoders must be a list/],
    ['endless pieces', { pre_tokenizer: { type: 'FixedLength', length: 0 } }, /got "FixedLength"/],
    [
      'a pattern that tracks back',
      { pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+$' } } },
      /a pattern of a published tokenizer .* got "\(a\+\)\+\$"/,
    ],
    [
      'a replacement that does',
      { normalizer: replace({ Regex: '(a|a)*b' }) },
      /normalizer Replace must have a pattern/,
    ],
    ['an empty spelling', { decoder: replace({ String: '' }) }, /must be {String} or {Regex}/],
    [
      'text that grows',
      { normalizer: { type: 'Sequence', normalizers: [sixteenfold, sixteenfold] } },
      /at most 64 times as long, got 256 times/,
    ],
    [
      'blanks that grow',
      { pre_tokenizer: { type: 'Sequence', pretokenizers: new Array(3).fill(blanks) } },
      /at most 64 times as long, got 4096 times/,
    ],
    [
      'bytes of bytes of bytes',
      { pre_tokenizer: { type: 'Sequence', pretokenizers: new Array(4).fill(bytes) } },
      /at most 64 times as long, got 81 times/,
    ],
    [
      'nothing for blanks',
      { decoder: { type: 'Metaspace', replacement: '' } },
      /replacement of decoder Metaspace must be some text/,
    ],
    ['content that is no text', { decoder: replace({ String: 'a' }, 5) }, /content of decoder/],
    ['a long prefix', { normalizer: { type: 'Prepend', prepend: 'a'.repeat(17) } }, /prepend of/],
    [
      'many steps',
      { decoder: { type: 'Sequence', decoders: new Array(33).fill({ type: 'Fuse' }) } },
      /at most 32 steps, got 33/,
    ],
    [
      'text that stands in a template twice',
      {
        post_processor: {
          type: 'TemplateProcessing',
          single: [{ Sequence: { id: 'A' } }, { Sequence: { id: 'A' } }],
        },
      },
      /single of post_processor TemplateProcessing must be one/,
    ],
    [
      'matches joined to their neighbours',
      { pre_tokenizer: { type: 'Split', pattern: { String: 'a' }, behavior: 'MergedWithNext' } },
      /one of Isolated, Removed, got "MergedWithNext"/,
    ],
    ['another model', { model: { ...llava.model, type: 'Unigram' } }, /type BPE, got "Unigram"/],
    ['no merges', { model: { ...llava.model, merges: 5 } }, /merges of model/],
    ['mixed merges', { model: { ...llava.model, merges: [['a', 'b'], 'a b'] } }, /written alike/],
    ['suffixes', { model: { ...llava.model, end_of_word_suffix: '</w>' } }, /end_of_word_suffix/],
  ])('%s', (_, change, message) => {
    expect(() => checkTokenizerForm({ ...llava, ...change })).toThrow(message);
  });
});
