/**
 * The native backend in tests, that of a GPU where it is installed. It comes by
 * scripts/tfjs-node/install.sh and is not in the lock file: where it is missing its tests are
 * skipped, and fail where REQUIRE_TENSORFLOW=1 asks for it.
 */
import { createRequire } from 'node:module';
import util from 'node:util';

const [NAME, GPU] = ['@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu'];
const require = createRequire(import.meta.url);

/** Why tests of the backend cannot run here; `undefined` when they can, or must. */
export function tensorFlowMissing(): string | undefined {
  const isThere = isInstalled(NAME) || isInstalled(GPU);
  if (process.env.REQUIRE_TENSORFLOW === '1' || isThere) return undefined;
  return `${NAME} is not installed, see scripts/tfjs-node`;
}

/** Register the backend, which takes a second: only in files that use it. */
export function loadTensorFlow(): void {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2'; // no notices about instruction sets
  // tfjs-node 4.22 calls these with every op; Node 23 took them out.
  const module = util as unknown as Record<string, unknown>;
  module.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  module.isArray ??= Array.isArray;
  require(isInstalled(GPU) ? GPU : NAME);
}

function isInstalled(name: string): boolean {
  try {
    require.resolve(name);
    return true;
  } catch {
    return false;
  }
}
