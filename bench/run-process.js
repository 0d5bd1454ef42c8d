import { spawn } from 'node:child_process';

/**
 * Run a command to its end.
 * @param {string} command
 * @param {string[]} argv
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<{ code: number | null, output: string, log: string }>} what it wrote, and to stderr.
 */
export function runProcess(command, argv, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, argv, options);
    let [output, log] = ['', ''];
    child.stdout.on('data', (part) => {
      output += part;
    });
    child.stderr.on('data', (part) => {
      log += part;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output, log }));
  });
}
