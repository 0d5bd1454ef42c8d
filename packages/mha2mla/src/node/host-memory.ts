import { totalmem } from 'node:os';

/**
 * Bytes of memory that a backend's tensors may take: the machine's, or the part of it that this
 * process is given. `undefined` on webgpu, whose device may have memory of its own.
 */
export function hostMemory(backend: string): number | undefined {
  if (backend === 'webgpu') return undefined;
  const given = process.constrainedMemory?.() || Number.POSITIVE_INFINITY; // 0: not known
  return Math.min(totalmem(), given);
}
