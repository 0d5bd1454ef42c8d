/** The fixtures of Qwen2.5-VL, as a model takes them. */
import { readFileSync } from 'node:fs';
import type { FileStore } from '@mha2mla/checkpoint';
import { type FixtureTensor, fixture, readSafetensors } from '@mha2mla/testing';
import type { ModelInputs, PixelValues } from '../../model-inputs';
import { type StoredTensor, tensorStore } from '../../testing/tensor-store';

const QWEN = 'fixtures/hf/qwen2_5_vl';
export const CHECKPOINT = fixture(`${QWEN}/checkpoint`);

export const readQwenJson = (path: string) =>
  JSON.parse(readFileSync(fixture(`${QWEN}/${path}`), 'utf8'));

export interface QwenGolden {
  tensors: Map<string, FixtureTensor>;
  inputs: ModelInputs;
}

/** @param name of a prompt, such as `p0`, or of a batch, whose pixels stand with its prompts. */
export function qwenGolden(name: string): QwenGolden {
  const tensors = readSafetensors(fixture(`${QWEN}/goldens/${name}.safetensors`));
  const integers = (key: string) => tensors.get(key)?.data as Int32Array | undefined;
  const { shape } = tensors.get('input_ids')!;
  const seconds = tensors.get('second_per_grid_ts')?.data as Float32Array | undefined;
  const inputs: ModelInputs = {
    batch: shape[0]!,
    length: shape[1]!,
    inputIds: integers('input_ids')!,
    attentionMask: integers('attention_mask')!,
    pixelValues: pixelsOf(tensors, 'pixel_values') ?? batchPixels(name),
    imageGridThw: integers('image_grid_thw'),
    pixelValuesVideos: pixelsOf(tensors, 'pixel_values_videos'),
    videoGridThw: integers('video_grid_thw'),
    secondPerGridTs: seconds,
  };
  return { tensors, inputs };
}

/** The published checkpoint's tensors by their names there. */
export function qwenTensors(): Map<string, StoredTensor> {
  const files = ['model-00001-of-00002', 'model-00002-of-00002'];
  return new Map(
    files.flatMap((file) => [...readSafetensors(`${CHECKPOINT}/${file}.safetensors`)]),
  ) as Map<string, StoredTensor>;
}

/** The model as a newer version of transformers stores it: its config, and its names of weights. */
export function newerFolder(version: string): Promise<FileStore> {
  const names: Record<string, Record<string, string>> = readQwenJson('newer_layout/names.json');
  const renamed = [...qwenTensors()].map(
    ([name, tensor]) => [names[name]![version]!, tensor] as const,
  );
  return tensorStore(readQwenJson('newer_layout/config.json'), new Map(renamed));
}

function pixelsOf(tensors: Map<string, FixtureTensor>, key: string): PixelValues | undefined {
  const found = tensors.get(key);
  return found && { data: found.data as Float32Array, shape: found.shape };
}

function batchPixels(name: string): PixelValues | undefined {
  const [, ...prompts] = name.startsWith('batch_') ? name.split('_') : [];
  const parts = prompts.flatMap((prompt) => qwenGolden(prompt).inputs.pixelValues ?? []);
  if (parts.length === 0) return undefined;
  const data = Float32Array.from(parts.flatMap((part) => [...part.data]));
  return { data, shape: [data.length / 1176, 1176] };
}
