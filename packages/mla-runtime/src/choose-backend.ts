/**
 * Pick the best TensorFlow.js backend among those that the application has imported. Importing one
 * stays the application's choice; a library never does it.
 */
import * as tf from '@tensorflow/tfjs-core';
import { currentDevice, watchDevice } from './webgpu/device-failure';
import { isSoftwareAdapter } from './webgpu/is-software-adapter';

/** The backends that are known here, by TensorFlow.js's names. */
export type BackendName = 'tensorflow' | 'webgpu' | 'wasm' | 'cpu';

interface Choice {
  name: BackendName;
  /** Whether the backend, which is the current one, runs where it is worth its rank. */
  fits: () => boolean;
}

const always = () => true;

/** Best first. On a software adapter webgpu is slower than wasm, so it is taken by its name only. */
const RANKS: readonly Choice[] = [
  { name: 'tensorflow', fits: isOnGpu },
  { name: 'webgpu', fits: () => !isSoftwareAdapter(adapterOf(currentDevice())) },
  { name: 'tensorflow', fits: always },
  { name: 'wasm', fits: always },
  { name: 'cpu', fits: always },
];

let last: Promise<unknown> = Promise.resolve();

/**
 * Make a backend the current one.
 * @param name a backend, or `auto` for the best that is registered and starts: TensorFlow's native
 * library on a GPU, WebGPU on a hardware adapter, the native library on the processor, wasm, cpu.
 * @returns the name of the backend in use.
 * @throws Error when it is not registered or does not start.
 */
export function chooseBackend(name: BackendName | 'auto' = 'auto'): Promise<BackendName> {
  // Of two backends that start at once, TensorFlow.js gives up the first.
  const chosen = last.then(() => choose(name));
  last = chosen.catch(() => {});
  return chosen;
}

async function choose(name: BackendName | 'auto'): Promise<BackendName> {
  const choices = name === 'auto' ? RANKS : [{ name, fits: always }];
  for (const choice of choices) {
    if (tf.findBackendFactory(choice.name) === null) continue;
    if (!(await tf.setBackend(choice.name))) continue;
    await tf.ready();
    if (!choice.fits()) continue;
    const device = currentDevice();
    if (device) watchDevice(device);
    return choice.name;
  }
  const names = new Set(choices.map((choice) => choice.name));
  throw new Error(
    `chooseBackend: expected one of ${[...names].join(', ')} to be registered, got none that starts. Import its package first, such as @tensorflow/tfjs-backend-wasm.`,
  );
}

/** Whether TensorFlow's native library, being the current backend, computes on a GPU. */
function isOnGpu(): boolean {
  const { isUsingGpuDevice = false } = tf.backend() as { isUsingGpuDevice?: boolean };
  return isUsingGpuDevice;
}

function adapterOf(device: GPUDevice | undefined): GPUAdapterInfo | undefined {
  // Newer than the types that tfjs comes with.
  return (device as { adapterInfo?: GPUAdapterInfo } | undefined)?.adapterInfo;
}
