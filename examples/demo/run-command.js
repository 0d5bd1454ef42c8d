/** Run a command of `mha2mla` as its users do, in a process of its own. */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

const BIN = join(
  dirname(createRequire(import.meta.url).resolve('mha2mla/package.json')),
  'bin/mha2mla.js',
);

/**
 * @param {string[]} args
 * @param {{ log: (line: string) => void, label: string, onText?: (text: string) => void }} options
 *   `log` gets progress lines, `onText` standard output as it comes.
 * @returns {Promise<string>} standard output.
 */
export function runCommand(args, { log, label, onText }) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
      onText?.(text);
    });
    createInterface({ input: child.stderr }).on('line', (line) => log(`${label} | ${line}`));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`mha2mla ${args.join(' ')} ended with status ${code}.`));
    });
  });
}
