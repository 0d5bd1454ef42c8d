/** Whether a search may ask its candidates, and how. */
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { ConvertRunOptions } from '../convert/convert-model';
import { askOverCache } from '../evaluate/ask-over-cache';
import { loadQuestions } from '../node/load-data';
import { tensorBytes, tensorElements } from '../output/tensor-sizes';
import type { Context } from './context';
import { sizeText } from './quantities';

export interface CandidateCheck {
  ask?: ConvertRunOptions['ask'];
  /** Why nothing is asked. */
  unchecked?: string;
}

/**
 * @param file of the calibration samples.
 * @returns how the samples' questions are asked, or why nothing is asked.
 */
export async function candidateCheck(
  source: VlmSource,
  file: string,
  { samples, check }: { samples: number; check: boolean },
  { signal }: Pick<Context, 'signal'>,
): Promise<CandidateCheck> {
  if (!check) return { unchecked: '--no-check' };
  if (file.endsWith('.safetensors')) return { unchecked: 'the samples tell no answers apart' };
  const needed = bytesInMemory(source);
  const free = process.availableMemory();
  if (needed > free) {
    return { unchecked: `it takes ${sizeText(needed)} of memory, ${sizeText(free)} are free` };
  }
  const questions = await loadQuestions(file, samples);
  return { ask: (candidate) => askOverCache(candidate, questions, { signal }) };
}

/** A converted model as it is stored, and its weights in f32; latents take no more than they replace. */
function bytesInMemory({ checkpoint }: VlmSource): number {
  const tensors = [...checkpoint.tensors.values()];
  return tensorBytes(tensors) + 4 * tensorElements(tensors);
}
