/** Pieces of files: which of them are there and sound, and how the others come. */
import { ifThere, writeFile } from './kept-folder';
import { type KeptFile, type KeptRecord, pieceName, piecesOf } from './kept-record';
import type { KeepPlan } from './plan-files';
import { sha256 } from './sha256';

/** SHA-256 of those that are there, by file and by piece. */
export type Pieces = (string | undefined)[][];

/**
 * Hash what is there, and remove what is not what its name says: a write that was cut.
 * @param onPiece gets the bytes of each sound piece.
 */
export async function checkPieces(
  folder: FileSystemDirectoryHandle,
  { files, pieceBytes }: KeptRecord,
  signal: AbortSignal | undefined,
  onPiece: (bytes: number) => void,
): Promise<Pieces> {
  const found: Pieces = [];
  for (const file of files) {
    const pieces: Pieces[number] = Array(piecesOf(file, pieceBytes)).fill(undefined);
    found.push(pieces);
    const own = await ifThere(folder.getDirectoryHandle(file.folder));
    const torn: string[] = [];
    for await (const [name, entry] of own?.entries() ?? []) {
      signal?.throwIfAborted();
      const index = Number(PIECE.exec(name)?.[1] ?? Number.NaN);
      const range = pieceRange(file, index, pieceBytes);
      const hash = await hashOf(entry as FileSystemFileHandle, range);
      if (hash === undefined || name !== pieceName(index, hash)) torn.push(name);
      else if (pieces[index] === undefined) {
        pieces[index] = hash;
        onPiece(range[1] - range[0]);
      }
    }
    for (const name of torn) await own!.removeEntry(name, { recursive: true });
  }
  return found;
}

const PIECE = /^(\d{1,9})-/;

function pieceRange({ size }: KeptFile, index: number, pieceBytes: number): [number, number] {
  return [index * pieceBytes, Math.min((index + 1) * pieceBytes, size)];
}

/** Of a file that has as many bytes as the range. */
async function hashOf(
  entry: FileSystemHandle,
  [start, end]: readonly [number, number],
): Promise<string | undefined> {
  if (entry.kind !== 'file') return undefined;
  const content = await (entry as FileSystemFileHandle).getFile();
  if (content.size === 0 || content.size !== end - start) return undefined;
  return sha256(new Uint8Array(await content.arrayBuffer()));
}

export interface PieceDownload {
  folder: FileSystemDirectoryHandle;
  plan: KeepPlan;
  /** Gets the pieces that come. */
  found: Pieces;
  signal: AbortSignal | undefined;
}

/** Fetch what is missing: one piece is on its way while that before it is written. */
export async function downloadPieces(
  { folder, plan: { record, sources }, found, signal }: PieceDownload,
  onPiece: (bytes: number) => void,
): Promise<void> {
  const end = new AbortController();
  const either = signal ? AbortSignal.any([signal, end.signal]) : end.signal;
  const missing = found.flatMap((pieces, file) =>
    [...pieces.keys()].filter((i) => pieces[i] === undefined).map((index) => ({ file, index })),
  );
  const read = (i: number): Promise<Uint8Array> | undefined => {
    if (i >= missing.length) return undefined;
    const { file, index } = missing[i]!;
    const range = pieceRange(record.files[file]!, index, record.pieceBytes);
    const bytes = sources[file]!.read(...range, either);
    bytes.catch(() => {}); // it is awaited below, maybe later than it fails
    return bytes;
  };
  let next = read(0);
  try {
    for (const [i, { file, index }] of missing.entries()) {
      const bytes = (await next)!;
      next = read(i + 1);
      const hash = await sha256(bytes);
      const own = await folder.getDirectoryHandle(record.files[file]!.folder, { create: true });
      await writeFile(own, pieceName(index, hash), bytes);
      found[file]![index] = hash;
      onPiece(bytes.byteLength);
    }
  } finally {
    end.abort();
    await next?.catch(() => {});
  }
}
