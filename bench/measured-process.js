/** A process of ours that says what it used: peak memory and seconds of the processor. */
import { runProcess } from './run-process.js';

/** Tells, as the process ends, what it took. */
const USAGE = `data:text/javascript,${encodeURIComponent(
  `process.on('exit', () => {
    const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
    process.stderr.write('usage ' + JSON.stringify({ peakBytes: 1024 * maxRSS, cpuSeconds: (userCPUTime + systemCPUTime) / 1e6 }));
  });`,
)}`;

/**
 * @param {string[]} argv of Node.
 * @returns {Promise<{ stdout: string, seconds: number, cpuSeconds: number, peakBytes: number }>}
 */
export async function measuredProcess(argv) {
  const began = performance.now();
  const { code, output, log } = await runProcess(process.execPath, ['--import', USAGE, ...argv]);
  if (code !== 0) throw new Error(`${argv[0]}: expected status 0, got ${code}: ${log}`);
  const usage = JSON.parse(log.slice(log.lastIndexOf('usage ') + 6));
  return { stdout: output, seconds: (performance.now() - began) / 1000, ...usage };
}
