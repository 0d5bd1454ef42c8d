/** Whether models fit here, said before anything is loaded. */
import { type BackendName, WASM_HEAP_BYTES } from '@mha2mla/mla-runtime';
import type { ModelDescription } from '@mha2mla/vlm-adapters';
import { showBytes } from '../words/amounts';

export interface Room {
  verdict: 'fits' | 'tight' | 'no';
  words: string;
}

/** Browsers tell no more than this. */
const MOST_TOLD_GIB = 8;
/** A cache, what is computed with, and the page itself come on top of the weights. */
const OVERHEAD = 1.3;

export const hasWebGpu = () => 'gpu' in navigator && Boolean(navigator.gpu);

export interface Machine {
  hasWebGpu: boolean;
  /** As the browser tells it, coarsely; `undefined` where it does not. */
  memoryGib: number | undefined;
}

const thisMachine = (): Machine => ({
  hasWebGpu: hasWebGpu(),
  memoryGib: (navigator as { deviceMemory?: number }).deviceMemory,
});

/** @param models all that shall be loaded at once. */
export function roomFor(
  models: readonly Pick<ModelDescription, 'memoryBytes'>[],
  backend: BackendName | 'auto',
  { hasWebGpu: hasGpu, memoryGib }: Machine = thisMachine(),
): Room {
  const need = OVERHEAD * models.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  const isTwo = models.length > 1;
  const takes = `${isTwo ? 'Both take' : 'It takes'} about ${showBytes(need)} of memory`;
  if ((backend === 'wasm' || !hasGpu) && need > WASM_HEAP_BYTES) {
    const ways = [isTwo && 'load one of them', 'store the weights smaller', hasGpu && 'use WebGPU'];
    const advice = ways.filter(Boolean).join(', or ');
    const words = `${takes}; WebAssembly holds ${showBytes(WASM_HEAP_BYTES)}. To load it, ${advice}.`;
    return { verdict: 'no', words };
  }
  const has = memoryGib === undefined ? Number.POSITIVE_INFINITY : memoryGib * 2 ** 30;
  if (need <= has / 4) return { verdict: 'fits', words: `${takes}.` };
  if (memoryGib! < MOST_TOLD_GIB && need > has) {
    return { verdict: 'no', words: `${takes}; this device has ${memoryGib} GB in all.` };
  }
  const more = memoryGib! >= MOST_TOLD_GIB ? ' or more' : '';
  const words = `${takes}; this device has ${memoryGib} GB${more}. Close what you do not need.`;
  return { verdict: 'tight', words };
}

/** Bytes that this page may store, `undefined` where the browser does not tell. */
export async function freeStorage(): Promise<number | undefined> {
  const { quota, usage } = (await navigator.storage?.estimate?.()) ?? {};
  return quota === undefined ? undefined : quota - (usage ?? 0);
}
