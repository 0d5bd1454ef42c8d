/** Counts who still needs what jobs left, and removes what nobody does: a run's disk stays small. */
import type { ContentRef, JobStore } from './job-store';

export interface KeptContents {
  /** Somebody needs it. */
  keep(...refs: readonly ContentRef[]): void;
  /** Somebody needs it no more. */
  drop(...refs: readonly ContentRef[]): Promise<void>;
}

export function keptContents(store: Pick<JobStore, 'remove'>): KeptContents {
  const needed = new Map<string, number>();
  const change = ({ sha256 }: ContentRef, by: number) => {
    const count = (needed.get(sha256) ?? 0) + by;
    needed.set(sha256, count);
    return count;
  };
  return {
    keep(...refs) {
      for (const ref of refs) change(ref, 1);
    },
    async drop(...refs) {
      await Promise.all(
        refs.filter((ref) => change(ref, -1) === 0).map((ref) => store.remove(ref)),
      );
    },
  };
}
