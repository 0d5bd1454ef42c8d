/** One line that says why a command failed. */
import { printableLine } from './printable';

/** What was expected and what was got, in one line, whatever the error says. */
export function failureLine(error: unknown): string {
  const message = isSystemError(error)
    ? `expected ${error.path ?? error.syscall} to be there and usable, got ${error.code}. Check the path and its permissions.`
    : error instanceof Error
      ? error.message
      : String(error);
  // Messages of commander and of libraries may have several lines.
  return printableLine(`mha2mla: ${message.trim().replaceAll(/\s*\n\s*/g, ' ')}`);
}

/** An error of the operating system that nobody has put into words. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error;
}
