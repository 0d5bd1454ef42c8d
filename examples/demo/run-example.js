/** Run an example script as its reader would, from the root of the repository. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * @param {string} script path from the root.
 * @returns {Promise<string>} standard output.
 */
export async function runExample(script) {
  const { stdout } = await promisify(execFile)(process.execPath, [script], { cwd: ROOT });
  return stdout;
}
