/**
 * TensorFlow's native library, where the user has installed it: tfjs-node-gpu or tfjs-node, optional
 * peers, since their install scripts fetch hundreds of megabytes from a host of their own.
 */
import util from 'node:util';

/** The GPU's before the CPU's. */
const PEERS = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];

/**
 * Register the tensorflow backend with the first peer that loads.
 * @param names packages, the best first.
 * @returns what was found instead; `undefined` when one has loaded.
 */
export async function importTensorFlow(names = PEERS): Promise<MissingTensorFlow | undefined> {
  shimUtil();
  // Its C++ side writes notices about instruction sets to the terminal; errors it still tells.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  const broken: string[] = [];
  let cause: unknown;
  for (const name of names) {
    try {
      await import(name);
      return undefined;
    } catch (error) {
      if (isAbsent(error, name)) continue;
      cause = error;
      broken.push(`${name} does not load: ${firstLine(error)}`);
    }
  }
  return { broken, cause };
}

/** Threads that an op may use, where the user has not said; to be called before it is imported. */
export function limitTensorFlow(threads: number): void {
  process.env.TF_NUM_INTRAOP_THREADS ??= String(threads);
}

export interface MissingTensorFlow {
  /** A sentence for each peer that is installed and does not load. */
  broken: string[];
  cause: unknown;
}

/** Node 23 took out two functions that tfjs-node 4.22 calls with every op. */
function shimUtil(): void {
  const module = util as unknown as Record<string, unknown>;
  module.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  module.isArray ??= Array.isArray;
}

/** Whether the peer itself is not there, rather than something that it needs. */
function isAbsent(error: unknown, name: string): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ERR_MODULE_NOT_FOUND' && message.includes(`'${name}'`);
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!.trim();
}
