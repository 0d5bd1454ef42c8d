/** What every command gets: where to write, how to hear an interruption, whether JSON is wanted. */
import type { Terminal } from './terminal';

export interface Context {
  terminal: Terminal;
  signal: AbortSignal;
  /** Print a command's result: `human` lines, or the document under `--json`. */
  result(document: unknown, human: () => string): void;
  /** From here on an interrupted run can go on with `--resume`. */
  resumable(): void;
  json: boolean;
}

/** Options that every command takes. */
export interface CommonFlags {
  json?: boolean;
  quiet?: boolean;
}
