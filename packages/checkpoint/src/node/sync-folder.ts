/** Makes a rename durable: the folder's own entry must reach the disk too. */
import { open } from 'node:fs/promises';

/** Syncs a folder; Windows cannot open one and needs it not. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some network and container file systems do not know the call; the rename itself is done.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EINVAL' && code !== 'ENOTSUP') throw error;
  } finally {
    await handle.close();
  }
}
