/**
 * Keeps the hidden states of calibration samples in memory up to a size, and the rest in a file that
 * has no name once it is open: whatever ends the process, the disk gets its space back. Values are
 * stored as they are, so the result does not depend on where they lay.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { diskFullOr, readAt, writeAt } from '@mha2mla/checkpoint/node';
import * as tf from '@tensorflow/tfjs-core';
import { type HiddenStates, type KeepHidden, keepInMemory } from '../convert/hidden-states';

/** Options of `spillHidden`. */
export interface SpillOptions {
  /** Folder of the file. */
  folder: string;
  /** Bytes of hidden states that stay in memory. */
  aboveBytes: number;
}

/** A file of hidden states. */
export interface HiddenSpill {
  keep: KeepHidden;
  /** Close the file. */
  close(): Promise<void>;
}

/** Keep hidden states in memory up to a size, and in a file beyond it. */
export function spillHidden({ folder, aboveBytes }: SpillOptions): HiddenSpill {
  let [inMemory, end, kept] = [0, 0, 0];
  let opening: Promise<SpillFile> | undefined;
  return {
    async keep(first) {
      const sizeBytes = first.size * 4;
      const fits = inMemory + sizeBytes <= aboveBytes;
      const start = end;
      if (fits) inMemory += sizeBytes;
      else end += sizeBytes;
      kept++;
      const states = fits ? await keepInMemory(first) : await keepInFile(first, start);
      return { ...states, dispose };

      function dispose() {
        states.dispose();
        kept--;
        // A second pass over the samples starts anew.
        if (kept === 0) [inMemory, end] = [0, 0];
      }
    },
    async close() {
      const file = await opening?.catch(() => undefined); // told to those who kept
      await file?.handle.close();
    },
  };

  async function keepInFile(first: tf.Tensor3D, start: number): Promise<HiddenStates> {
    opening ??= openSpill(folder);
    try {
      return await statesIn(await opening, start, first);
    } finally {
      first.dispose();
    }
  }
}

interface SpillFile {
  handle: FileHandle;
  path: string;
}

let counter = 0;

/** The name is that of a temporary file of an output folder, which a resumed run removes. */
async function openSpill(folder: string): Promise<SpillFile> {
  const path = join(folder, `.hidden-states.tmp-${process.pid}-${threadId}-${counter++}`);
  const handle = await open(path, 'wx+').catch(async (error) => {
    throw await diskFullOr(error, path, 0);
  });
  await rm(path);
  return { handle, path };
}

/** A batch's states at `start` of the file, where each next layer's take the place of the last's. */
async function statesIn(
  { handle, path }: SpillFile,
  start: number,
  first: tf.Tensor3D,
): Promise<HiddenStates> {
  const { shape, size } = first;
  const write = async (next: tf.Tensor3D) => {
    try {
      const bytes = bytesOf((await next.data()) as Float32Array);
      await writeAt(handle, bytes, start, { path });
    } finally {
      next.dispose();
    }
  };
  await write(first);
  return {
    write,
    async read() {
      const values = new Float32Array(size);
      const found = await readAt(handle, bytesOf(values), start);
      if (found === values.byteLength) return tf.tensor3d(values, shape);
      throw new Error(
        `spillHidden: ${path} must hold ${values.byteLength} bytes from ${start}, got ${found}.`,
      );
    },
    dispose() {},
  };
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
