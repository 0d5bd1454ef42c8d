/**
 * WebGPU in Node: Dawn with TensorFlow.js's backend over it, where the user has installed both.
 * They are optional peers: the drivers that they need are not everywhere.
 */
import { registerWebGpu } from '@mha2mla/mla-runtime';

/** Variables, since Dawn's types clash with those that TensorFlow.js depends on. */
const DAWN: string = 'webgpu';
const BACKEND: string = '@tensorflow/tfjs-backend-webgpu';

/**
 * Register the backend `webgpu`, on a software adapter too: it was asked for by its name.
 * @throws Error where a package is missing, or there is no adapter.
 */
export async function importWebGpu(names: readonly string[] = [DAWN, BACKEND]): Promise<void> {
  const [dawn, backend] = (await Promise.all(names.map(importPeer))) as [Dawn, Backend];
  Object.assign(globalThis, dawn.globals);
  // The backend does not start where it finds none.
  if (!globalThis.navigator) {
    Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
  }
  const gpu = dawn.create([]);
  Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true });
  if (await registerWebGpu(backend.WebGPUBackend, { gpu, software: true })) return;
  throw new Error(
    'useBackend: webgpu needs a graphics adapter with a Vulkan, Metal or D3D12 driver, got none. Choose another backend.',
  );
}

interface Dawn {
  create(flags: string[]): GPU;
  globals: object;
}

interface Backend {
  WebGPUBackend: Parameters<typeof registerWebGpu>[0];
}

async function importPeer(name: string): Promise<unknown> {
  try {
    return await import(name);
  } catch (cause) {
    throw new Error(
      `useBackend: webgpu needs ${DAWN} and ${BACKEND} installed, got an error from ${name}. Run npm install ${DAWN} ${BACKEND}, or choose another backend.`,
      { cause },
    );
  }
}
