/** A call that cannot be meant: exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code = 'usage';
}

/** Run a check of options; what it throws becomes a usage error. */
export function asUsage<T>(check: () => T): T {
  try {
    return check();
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
