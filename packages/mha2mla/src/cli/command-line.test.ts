import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { commandLine } from './command-line';

test('plain words stay, others are quoted', () => {
  const words = ['convert', 'a b', '--kv-bits', 'vision=4,text=8', '', "it's", '$(x)'];
  expect(commandLine(words)).toBe(
    "mha2mla convert 'a b' --kv-bits vision=4,text=8 '' 'it'\\''s' '$(x)'",
  );
});

test.skipIf(process.platform === 'win32')('a shell reads back the words', () => {
  const words = ['a b', "it's", '"', '\\', '$HOME', '`x`', 'a\nb', '*', '~', '-', ';'];
  const line = commandLine(words).replace('mha2mla', 'printf "%s\\0"');
  expect(execFileSync('sh', ['-c', line], { encoding: 'utf8' }).split('\0')).toEqual([
    ...words,
    '',
  ]);
});
