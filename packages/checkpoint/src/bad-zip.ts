/** The error for a broken or unusual ZIP archive. */
import type { ByteSource } from './byte-source';
import { CheckpointError } from './checkpoint-error';
import { quoteName } from './quote-name';

/** Makes a `bad-zip` error; `problem` says what must hold. */
export function badZip(source: ByteSource, problem: string): CheckpointError {
  return new CheckpointError('bad-zip', `openZip: in ${quoteName(source.name)} ${problem}.`);
}
