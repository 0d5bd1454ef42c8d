import { InvalidArgumentError } from 'commander';
import { describe, expect, test } from 'vitest';
import {
  bits,
  bitsByLayer,
  bitsByModality,
  collect,
  countsBySection,
  integer,
  nonNegative,
  pattern,
  positive,
} from './option-values';

describe('values that are meant', () => {
  test.each<[string, unknown, unknown]>([
    ['integer', integer(0)('0'), 0],
    ['integer', integer(1)('128'), 128],
    ['number', nonNegative()('0'), 0],
    ['number', nonNegative(1)('.5'), 0.5],
    ['number', positive()('4e-3'), 0.004],
    ['number', positive(1)('1.0'), 1],
    ['pattern', pattern('.*q_proj|.*o_proj'), '.*q_proj|.*o_proj'],
    ['bits', bits('8'), 8],
    ['bits by modality', bitsByModality('4'), 4],
    ['bits by modality', bitsByModality('vision=4,text=8'), { vision: 4, text: 8 }],
    ['bits by modality', bitsByModality('text=16'), { text: 16 }],
    ['bits by layer', bitsByLayer('0=16'), { 0: { kvBits: 16 } }],
    ['bits by layer', bitsByLayer('2-3=8'), { 2: { kvBits: 8 }, 3: { kvBits: 8 } }],
    ['counts', countsBySection('4,0,12'), [4, 0, 12]],
    ['counts', countsBySection('proportional'), 'proportional'],
    ['list', collect('b', collect('a')), ['a', 'b']],
  ])('%s', (_, value, expected) => {
    expect(value).toEqual(expected);
  });
});

describe('values that cannot be meant are refused, with what they must be', () => {
  const numbers = ['', ' ', 'x', '1x', '0x10', '1,5', 'NaN', 'Infinity', '1e999', '--1'];
  test.each<[string, (value: string) => unknown, string[], string]>([
    ['integer', integer(1), [...numbers, '0', '-1', '1.5', '1e3', '9007199254740993'], 'least 1'],
    ['number of at least 0', nonNegative(), [...numbers, '-0.1'], 'at least 0'],
    ['share', nonNegative(1), [...numbers, '1.1'], 'from 0 to 1'],
    ['number above 0', positive(), [...numbers, '0', '-1'], 'above 0.'],
    ['share above 0', positive(1), ['0', '1.01'], 'above 0 and at most 1'],
    ['pattern', pattern, ['(', '[a', '*'], 'regular expression'],
    ['bits', bits, ['', '5', '32', '4.0', 'four'], 'one of 2, 3, 4, 8, 16'],
    ['bits by modality', bitsByModality, ['', '5', 'vision=5'], 'one of 2, 3, 4, 8, 16'],
    [
      'counts',
      countsBySection,
      ['', 'x', '4;6', '4,,6', '4,-6', '4.5', '4,', '99999'],
      'as in 4,6,6',
    ],
    [
      'bits by layer',
      bitsByLayer,
      ['', '0', '0=16,', '7-5=8', '0=8-9', '-1=8'],
      'as in 0=16,5-7=8',
    ],
    ['bits by layer', bitsByLayer, ['0=1', '1=16,0=5'], 'one of 2, 3, 4, 8, 16'],
    ['bits by layer', bitsByLayer, ['0=8,0=16', '1-3=8,2=4'], 'a layer once'],
    [
      'bits by modality',
      bitsByModality,
      ['vision=4;text=8', 'audio=4', 'vision=', 'vision=4,', 'vision=4,vision=8', 'text=4=8'],
      'as in vision=4,text=8',
    ],
  ])('%s', (_, parse, values, message) => {
    for (const value of values) {
      expect(() => parse(value), value).toThrow(InvalidArgumentError);
      expect(() => parse(value), value).toThrow(message);
    }
  });
});
