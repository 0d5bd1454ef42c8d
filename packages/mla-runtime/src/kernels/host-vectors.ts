/**
 * Steps over a few values, as a decode step of one row has many: an op of a backend takes 5 to 40 us
 * whatever it does, and such a step is several. Where the values are at hand to this process (wasm,
 * cpu, TensorFlow's library on a processor) a loop does all of it in one kernel. Without a gradient.
 */
import { isOnProcessor } from './host-backends';
import { isOnTape } from './on-tape';

/**
 * Whether a loop here is the faster.
 * @param size values that it goes over.
 * @param most of them at which it is; beyond, a backend's own threads and instructions win.
 */
export function takesHostVectors(size: number, most: number): boolean {
  return size > 0 && size <= most && isOnProcessor() && !isOnTape();
}
