/** Run an example script as its reader would, from the root of the repository. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * @param {string} script path from the root.
 * @param {string[]} args
 * @returns {Promise<string>} standard output.
 */
export async function runExample(script, args = []) {
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...args], { cwd: ROOT });
  return stdout;
}

/**
 * @param {string} script path from the root.
 * @returns {Promise<string>} what its header says that it prints: the indented lines behind "It prints".
 */
export async function printedBy(script) {
  const [header] = (await readFile(join(ROOT, script), 'utf8')).split('*/');
  const lines = header.slice(header.indexOf('It prints')).match(/(?<=^ \* {3}).*$/gm) ?? [];
  return lines.map((line) => `${line}\n`).join('');
}
