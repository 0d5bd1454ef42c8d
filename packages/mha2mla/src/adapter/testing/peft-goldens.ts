/** The reference values of HF PEFT: `fixtures/peft`, on the small checkpoints of `fixtures/hf`. */
import { readFileSync } from 'node:fs';
import { type FileStore, memorySource, memoryStore, openSafetensors } from '@mha2mla/checkpoint';
import { nodeStore } from '@mha2mla/checkpoint/node';
import { fixture, readSafetensors } from '@mha2mla/testing';
import {
  llava,
  type ModelInputs,
  openVlm,
  qwen25Vl,
  VisionLanguageModel,
} from '@mha2mla/vlm-adapters';
import { readModelInputs } from '../../trace/read-model-inputs';

export const FAMILIES = ['llava', 'qwen2_5_vl'] as const;
export type GoldenFamily = (typeof FAMILIES)[number];

const peft = (family: GoldenFamily, file: string) => fixture(`fixtures/peft/${family}/${file}`);

/** The caller disposes the model. */
export async function loadGoldenModel(family: GoldenFamily): Promise<VisionLanguageModel> {
  const store = await nodeStore(fixture(`fixtures/hf/${family}/checkpoint`));
  const model = await VisionLanguageModel.load(
    await openVlm(store, { families: [llava, qwen25Vl] }),
  );
  await store.close?.();
  return model;
}

/** Prompt p0. */
export async function goldenInputs(family: GoldenFamily): Promise<ModelInputs> {
  const bytes = readFileSync(fixture(`fixtures/hf/${family}/goldens/p0.safetensors`));
  return readModelInputs(await openSafetensors(memorySource(bytes)));
}

/** The two files of an adapter, in memory. */
export function goldenAdapter(family: GoldenFamily, adapter: string): FileStore {
  const files = ['adapter_config.json', 'adapter_model.safetensors'];
  return memoryStore(
    new Map(files.map((file) => [file, readFileSync(peft(family, `${adapter}/${file}`))])),
  );
}

export function goldenTensors(family: GoldenFamily, file: 'outputs' | 'train') {
  const tensors = readSafetensors(peft(family, `${file}.safetensors`));
  return (name: string) => tensors.get(name)!;
}

export interface GoldenStep {
  loss: number;
  ce: number;
  kl: number;
  grad_norm: number;
}

/** Losses and norms of the runs `ce` and `distill`; the fourth entry is after step 3. */
export function goldenRuns(family: GoldenFamily): Record<string, { steps: GoldenStep[] }> {
  return JSON.parse(readFileSync(peft(family, 'train.json'), 'utf8')).runs;
}
