import type { ResultOutput } from '../output/result-output';
import type { ContentRef, JobStore } from './job-store';

/** A store as the place where a job writes its one piece. */
export interface ContentOutput extends ResultOutput {
  /** What was written. */
  ref(): ContentRef;
}

export function contentOutput(store: JobStore): ContentOutput {
  let written: ContentRef | undefined;
  const ref = () => {
    if (written) return written;
    throw new Error('contentOutput: a piece must be written, got none.');
  };
  return {
    ref,
    has: async () => written !== undefined,
    async write(_, produce) {
      written = await store.put(produce);
    },
    read: () => store.open(ref()),
    async finish() {},
  };
}
