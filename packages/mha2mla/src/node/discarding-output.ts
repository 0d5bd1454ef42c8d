import { createHash } from 'node:crypto';
import { freeBytes } from '@mha2mla/checkpoint/node';
import type { ResultOutput } from '../output/result-output';

/**
 * An output that keeps nothing. It hashes what it is given, as a folder does, which takes longer
 * than most disks.
 * @param beside where the result would lie.
 */
export function discardingOutput(beside: string): ResultOutput {
  return {
    has: async () => false,
    async write(_, produce) {
      const hash = createHash('sha256');
      await produce({
        write: async (bytes) => {
          hash.update(bytes);
        },
      });
      hash.digest();
    },
    read(name) {
      throw new Error(`discardingOutput: expected nothing to be read, got ${name}.`);
    },
    freeBytes: () => freeBytes(beside),
    finish: async () => {},
  };
}
