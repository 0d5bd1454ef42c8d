/** Strict UTF-8: what a file says must not depend on how a decoder mends it. */
import { CheckpointError } from './checkpoint-error';
import { quoteName } from './quote-name';

/**
 * Decodes UTF-8; a byte order mark stays in the text (and is no JSON).
 * @throws CheckpointError `not-utf8`
 */
export function decodeUtf8(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new CheckpointError('not-utf8', `decodeUtf8: ${quoteName(name)} must be valid UTF-8.`, {
      cause,
    });
  }
}
