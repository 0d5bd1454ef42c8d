/** Open a model folder on disk, of any family that the command line knows. */
import { createHash } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import type { FileStore } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import {
  createQwen25Vl,
  llava,
  llavaNext,
  openVlm,
  type Qwen25VlOptions,
  type VlmFamily,
  type VlmSource,
} from '@mha2mla/vlm-adapters';

/** Families whose versions differ in what a run may choose. */
export type FamilyOptions = Qwen25VlOptions;

/** The families that the command line knows. */
export const FAMILIES: readonly VlmFamily[] = familiesOf({});

function familiesOf(options: FamilyOptions): readonly VlmFamily[] {
  return [llava, llavaNext, createQwen25Vl(options)];
}

/** An opened model folder. */
export interface OpenModel {
  source: VlmSource;
  /** Close its files. */
  close(): Promise<void>;
}

/** Read a folder's config and headers; weights are read later. */
export async function openModelFolder(
  folder: string,
  options: FamilyOptions = {},
): Promise<OpenModel> {
  const store = await nodeStore(folder);
  let beside: FileStore | undefined;
  // The reference keeps its rank files beside the models that they belong to.
  const openRankFile = async (name: string) => {
    beside = await nodeStore(dirname(resolve(folder)));
    return beside.open(name);
  };
  const close = async () => {
    await store.close?.();
    await beside?.close?.();
  };
  try {
    const families = familiesOf(options);
    return { source: await openVlm(store, { families, openRankFile }), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Have a model folder open for as long as `use` runs. */
export async function withModelFolder<T>(
  folder: string,
  options: FamilyOptions,
  use: (source: VlmSource) => Promise<T>,
): Promise<T> {
  const { source, close } = await openModelFolder(folder, options);
  try {
    return await use(source);
  } finally {
    await close();
  }
}

/** A digest of a model's config and of its tensors' names, types, shapes and places. */
export function modelDigest({ config, checkpoint }: VlmSource): string {
  const hash = createHash('sha256').update(JSON.stringify(config.source.raw));
  for (const tensor of checkpoint.tensors.values()) hash.update(JSON.stringify(tensor));
  return hash.digest('hex');
}
