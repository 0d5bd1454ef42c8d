/**
 * Every command line of `mha2mla` in a document is one that the program takes: its options exist,
 * their values can be read, and nothing that must be given is missing. Nothing of it runs.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { createProgram } from './program';
import { FakeStream } from './testing/fake-stream';

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
/** Folders that documents lie in; what was true of an earlier version (changesets) stays as it was. */
const FOLDERS = ['bench', 'docs', 'examples', 'internal', 'models', 'packages', 'scripts'];
const documents = [...documentsIn('', false), ...FOLDERS.flatMap((folder) => documentsIn(folder))];
const commands = documents.flatMap((path) => {
  const text = readFileSync(join(ROOT, path), 'utf8');
  return commandsOf(text).map((words) => ({ path, line: words.join(' '), words }));
});

function documentsIn(folder: string, deep = true): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      return deep && !/^(node_modules|dist|target)$/.test(entry.name) ? documentsIn(path) : [];
    }
    return /\.md$/.test(path) && entry.name !== 'CHANGELOG.md' ? [path] : [];
  });
}

/** Words after `mha2mla` of each command in `sh` blocks, and in a line where no part is left open. */
function commandsOf(markdown: string): string[][] {
  const blocks = [...markdown.matchAll(/^ *```sh\n([\s\S]*?)^ *```/gm)].map(([, code]) => code!);
  const inLine = [...markdown.matchAll(/`((?:npx )?mha2mla [a-z]+ [^`|…[\]]+)`/g)];
  return [...blocks, ...inLine.map(([, code]) => code!)]
    .flatMap((code) => code.replaceAll('\\\n', ' ').split(/\n|&&|;|\||>/))
    .flatMap((line) => {
      const code = line.replace(/ # .*/, '');
      const command = /^\s*(?:[A-Z_0-9]+=\S+ )*(?:npx )?mha2mla (.+)/.exec(code);
      return command ? [wordsOf(command[1]!)] : [];
    });
}

function wordsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((found) => found.slice(1).join(''));
}

/** Options that stand in a line without their command. */
function optionsOf(markdown: string): string[] {
  return [...markdown.matchAll(/`(--[a-z][a-z-]*)[^`]*`/g)].map(([, option]) => option!);
}

function newProgram(): Command {
  const streams = { stdout: new FakeStream(), stderr: new FakeStream(), stdin: process.stdin };
  const unused = () => {
    throw new Error('a command ran');
  };
  return createProgram(unused, streams);
}

function parse(words: readonly string[]): Promise<Command> {
  const program = newProgram();
  for (const command of program.commands) command.action(() => {});
  return program.parseAsync([...words], { from: 'user' });
}

describe('command lines of the documents', () => {
  test('there are some of every command', () => {
    const names = new Set(commands.map(({ words }) => words[0]));
    for (const name of ['inspect', 'convert', 'heal', 'eval', 'generate', 'bench', 'report']) {
      expect(names).toContain(name);
    }
  });

  test.each(commands)('$path: $line', async ({ words }) => {
    await parse(words);
  });

  test.each([
    'docs/guide.md',
    'docs/method.md',
    'docs/troubleshooting.md',
    'docs/healing.md',
    'packages/mha2mla/README.md',
  ])('%s names options that some command has', (path) => {
    const known = newProgram().commands.flatMap(({ options }) => options.map(({ long }) => long));
    const named = optionsOf(readFileSync(join(ROOT, path), 'utf8'));
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((option) => !known.includes(option))).toEqual([]);
  });

  test('an option that does not exist, a value that is none, and too few words are refused', async () => {
    await expect(parse(['convert', 'MODEL', 'OUT', '--no-such', '4'])).rejects.toThrow('unknown');
    await expect(parse(['eval', 'MODEL', 'DATA', '--kv-bits', 'few'])).rejects.toThrow('--kv-bits');
    await expect(parse(['convert', 'MODEL'])).rejects.toThrow('missing');
  });
});
