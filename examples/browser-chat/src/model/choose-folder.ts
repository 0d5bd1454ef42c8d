/** Files of a folder from disk, by reference: they are read by slices, never copied. */

interface DirectoryHandle {
  name: string;
  values(): AsyncIterable<{ kind: string; getFile(): Promise<File> }>;
}

export interface Folder {
  name: string;
  files: File[];
}

type Picker = (options: { id: string; mode: 'read' }) => Promise<DirectoryHandle>;

/** Absent where only `<input webkitdirectory>` is. */
export const directoryPicker = (): Picker | undefined =>
  (globalThis as { showDirectoryPicker?: Picker }).showDirectoryPicker;

/** @returns `undefined` when the reader leaves the dialogue. */
export async function pickFolder(): Promise<Folder | undefined> {
  try {
    return await readHandle(await directoryPicker()!({ id: 'model', mode: 'read' }));
  } catch (error) {
    if ((error as Error).name === 'AbortError') return undefined;
    throw error;
  }
}

/** Of `<input webkitdirectory>`: files of subfolders are not of the model. */
export function filesOfInput(list: FileList): Folder {
  const files = [...list].filter(({ webkitRelativePath: path }) => path.split('/').length <= 2);
  return { name: files[0]?.webkitRelativePath.split('/')[0] || 'folder', files };
}

/** Of what was dropped: a folder, or the files of one. */
export async function filesOfDrop({ items, files }: DataTransfer): Promise<Folder> {
  const entry = [...items].map((item) => item.webkitGetAsEntry?.()).find((one) => one?.isDirectory);
  if (!entry) return { name: 'dropped files', files: [...files] };
  return { name: entry.name, files: await readEntry(entry as FileSystemDirectoryEntry) };
}

async function readHandle(handle: DirectoryHandle): Promise<Folder> {
  const files: File[] = [];
  for await (const entry of handle.values()) {
    if (entry.kind === 'file') files.push(await entry.getFile());
  }
  return { name: handle.name, files };
}

async function readEntry(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (entries.length === 0) return files; // it gives a hundred at a time
    for (const entry of entries) {
      if (!entry.isFile) continue;
      files.push(
        await new Promise<File>((resolve, reject) => {
          (entry as FileSystemFileEntry).file(resolve, reject);
        }),
      );
    }
  }
}
