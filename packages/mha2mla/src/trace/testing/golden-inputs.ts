/** Prepared inputs of the fixtures' prompts, as the trace command reads them. */
import { readFile } from 'node:fs/promises';
import { memorySource, openSafetensors } from '@mha2mla/checkpoint';
import { fixture } from '@mha2mla/testing';
import type { ModelInputs, PixelValues } from '@mha2mla/vlm-adapters';
import { readModelInputs } from '../read-model-inputs';

/** @param name of a prompt of a family, such as `p0`. */
export async function goldenInputs(family: string, name: string): Promise<ModelInputs> {
  const path = `fixtures/hf/${family}/goldens/${name}.safetensors`;
  const bytes = new Uint8Array(await readFile(fixture(path)));
  return readModelInputs(await openSafetensors(memorySource(bytes, path)));
}

/** Goldens of a batch hold ids and grids; its pixels stand with its prompts, such as `p0`, `p1`. */
export async function goldenBatch(family: string, prompts: string[]): Promise<ModelInputs> {
  const batch = await goldenInputs(family, `batch_${prompts.join('_')}`);
  const parts = await Promise.all(prompts.map((prompt) => goldenInputs(family, prompt)));
  const pixelValues = joinPixels(parts.map((part) => part.pixelValues));
  return pixelValues ? { ...batch, pixelValues } : batch;
}

function joinPixels(parts: readonly (PixelValues | undefined)[]): PixelValues | undefined {
  const present = parts.filter((part) => part !== undefined);
  const [first] = present;
  if (!first) return undefined;
  return {
    data: Float32Array.from(present.flatMap(({ data }) => [...data])),
    shape: [present.reduce((sum, { shape }) => sum + shape[0]!, 0), ...first.shape.slice(1)],
  };
}
