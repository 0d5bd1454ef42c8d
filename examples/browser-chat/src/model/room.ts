/** Whether models fit here, said before anything is loaded. */
import type { BackendName } from '@mha2mla/mla-runtime';
import type { ModelDescription } from '@mha2mla/vlm-adapters';
import { showBytes } from '../words/amounts';

export interface Room {
  verdict: 'fits' | 'tight' | 'no';
  words: string;
}

/** Of wasm's address space, less what fragments, as the runtime has it. */
const WASM_BYTES = 3.8e9;
/** Chromium tells whole gibibytes, and of more than this no more. */
const MOST_TOLD_GIB = 8;
/** A cache, what is computed with, and the page itself come on top of the weights. */
const OVERHEAD = 1.3;

export const hasWebGpu = () => 'gpu' in navigator && Boolean(navigator.gpu);

/** @param models all that shall be loaded at once. */
export function roomFor(
  models: readonly ModelDescription[],
  backend: BackendName | 'auto',
  deviceGib = (navigator as { deviceMemory?: number }).deviceMemory,
): Room {
  const need = OVERHEAD * models.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  const takes = `They take about ${showBytes(need)} of memory`.replace(
    'They take',
    models.length > 1 ? 'Both take' : 'It takes',
  );
  const onWasm = backend === 'wasm' || !hasWebGpu();
  if (onWasm && need > WASM_BYTES) {
    const one = models.length > 1 ? 'load one of them, or ' : '';
    return {
      verdict: 'no',
      words: `${takes}; WebAssembly holds ${showBytes(WASM_BYTES)}. To load it, ${one}store the weights smaller${hasWebGpu() ? ', or use WebGPU' : ''}.`,
    };
  }
  if (deviceGib !== undefined && deviceGib < MOST_TOLD_GIB && need > deviceGib * 2 ** 30) {
    return { verdict: 'no', words: `${takes}; this device has ${deviceGib} GB in all.` };
  }
  if (deviceGib === undefined || need <= (deviceGib * 2 ** 30) / 4) {
    return { verdict: 'fits', words: `${takes}.` };
  }
  return {
    verdict: 'tight',
    words: `${takes}; this device says it has ${deviceGib}${deviceGib >= MOST_TOLD_GIB ? ' or more' : ''} GB. Close what you do not need.`,
  };
}

/** Bytes that this page may store, `undefined` where the browser does not tell. */
export async function freeStorage(): Promise<number | undefined> {
  const { quota, usage } = (await navigator.storage?.estimate?.()) ?? {};
  return quota === undefined ? undefined : quota - (usage ?? 0);
}
