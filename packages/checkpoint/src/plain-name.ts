/**
 * Names inside a checkpoint folder are plain base names. A shard name comes from a file that nobody
 * vouches for, and becomes a path in Node and a request in a page, so nothing else passes.
 */
import { CheckpointError } from './checkpoint-error';
import { quoteName } from './quote-name';

// The longest file name that common file systems take is 255 bytes.
const MAX_NAME_LENGTH = 255;

/**
 * Checks that `name` is a plain base name: no `/`, `\`, `:`, NUL or other control, not `.` or `..`,
 * no percent sign, query or fragment (a server could read these as a path).
 * @returns the same name
 * @throws CheckpointError `bad-path`
 */
export function assertPlainName(name: string): string {
  const plain =
    typeof name === 'string' &&
    name.length > 0 &&
    name.length <= MAX_NAME_LENGTH &&
    name !== '.' &&
    name !== '..' &&
    !/[/\\:%?#*"<>|]|[\p{Cc}\p{Cf}\p{Cs}]/u.test(name) &&
    !/[. ]$/u.test(name); // Windows drops trailing dots and spaces, so "a." would open "a"
  if (!plain) {
    throw new CheckpointError(
      'bad-path',
      `assertPlainName: a file must be given by its plain base name, got ${quoteName(String(name))}. Example: "model-00001-of-00002.safetensors".`,
    );
  }
  return name;
}
