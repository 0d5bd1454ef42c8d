import { CheckpointError } from '../checkpoint-error';
import { assertPlainName } from '../plain-name';
import { quoteName } from '../quote-name';
import { bytesIn, ifThere, type KeptOptions, keptRoot, whileLocked } from './kept-folder';

/**
 * Remove a kept model, or the part of one.
 * @returns bytes that this freed; 0 where there was none of that name
 * @throws CheckpointError `output-locked` while another tab or worker keeps it; `no-storage`
 */
export async function removeKept(name: string, { directory }: KeptOptions = {}): Promise<number> {
  const root = await keptRoot(directory);
  const ifBusy = () => {
    throw new CheckpointError(
      'output-locked',
      `removeKept: ${quoteName(name)} must not be in work, got another tab or worker that keeps it. Stop it there first.`,
    );
  };
  return whileLocked(assertPlainName(name), { ifBusy }, async () => {
    const folder = await ifThere(root.getDirectoryHandle(name));
    if (!folder) return 0;
    const freed = await bytesIn(folder);
    await root.removeEntry(name, { recursive: true });
    return freed;
  });
}
