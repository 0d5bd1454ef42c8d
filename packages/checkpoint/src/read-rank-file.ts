/**
 * Rank files of MHA2MLA-VLM: for each layer, KV head and dimension the rank of its rotary pair by
 * MKL; a dimension keeps RoPE where its rank is below the number of pairs kept. Published as a
 * one-tensor `.pth`; also read as safetensors. The content decides which, not the file's name.
 */
import type { ByteSource } from './byte-source';
import { CheckpointError } from './checkpoint-error';
import { decodeInt32 } from './decode-tensor';
import { openSafetensors } from './open-safetensors';
import { quoteName } from './quote-name';
import { readPth } from './read-pth';

/** Ranks by layer, KV head and dimension, row-major. */
export interface RankFile {
  ranks: Uint8Array;
  shape: [layers: number, kvHeads: number, headDim: number];
}

// 'PK': a ZIP's local header, or its end record for an archive without members.
const ZIP_MAGIC = 0x4b50;
// The caps of the config (text-config.ts).
const MAX_DIM = 1024;

/**
 * Reads a rank file.
 * @param source a `.pth` of one integer tensor, or a safetensors file whose only tensor, or tensor
 *   `ranks`, is one; values 0..255
 * @throws CheckpointError `bad-ranks`, and those of `readPth` and `openSafetensors`
 */
export async function readRankFile(source: ByteSource): Promise<RankFile> {
  const magic = source.size < 2 ? new Uint8Array(2) : await source.read(0, 2);
  const isZip = (magic[0]! | (magic[1]! << 8)) === ZIP_MAGIC;
  const { values, shape } = isZip ? await fromPth(source) : await fromSafetensors(source);
  const sound = shape.length === 3 && shape.every((dim) => dim >= 1 && dim <= MAX_DIM);
  if (!sound || shape[2]! % 2 !== 0) {
    throw badRanks(
      source,
      `a shape [layers, kvHeads, headDim], each in 1..${MAX_DIM}, headDim even`,
      `[${shape}]`,
    );
  }
  const outside = values.find((value) => value < 0 || value > 255);
  if (outside !== undefined) throw badRanks(source, 'ranks in 0..255', String(outside));
  return { ranks: Uint8Array.from(values), shape: shape as [number, number, number] };
}

async function fromPth(source: ByteSource) {
  const { dtype, shape, data } = await readPth(source);
  return { values: decodeInt32(data, dtype), shape };
}

async function fromSafetensors(source: ByteSource) {
  const checkpoint = await openSafetensors(source);
  const only = checkpoint.tensors.size === 1 ? [...checkpoint.tensors.keys()][0] : undefined;
  const info = checkpoint.tensors.get(only ?? 'ranks');
  if (info === undefined) {
    throw badRanks(source, 'one tensor, or a tensor "ranks"', `${checkpoint.tensors.size} tensors`);
  }
  return { values: await checkpoint.readInt32(info.name), shape: info.shape };
}

function badRanks(source: ByteSource, must: string, got: string): CheckpointError {
  return new CheckpointError(
    'bad-ranks',
    `readRankFile: ${quoteName(source.name)} must hold ${must}, got ${got}.`,
  );
}
