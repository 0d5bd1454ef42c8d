import { openSafetensors } from '@mha2mla/checkpoint';
import { fileSource } from '@mha2mla/checkpoint/node';
import type { ModelInputs, VlmSource } from '@mha2mla/vlm-adapters';
import { calibrationBatches, readCalibrationFile } from '../data/calibration-samples';
import { loadQuestions } from '../node/load-data';
import type { Context } from './context';

/**
 * Batches of samples to calibrate on.
 * @param file DATA, or a pre-tokenised file in safetensors form.
 * @param samples at most.
 */
export async function loadCalibration(
  source: VlmSource,
  file: string,
  samples: number,
  { signal, terminal }: Pick<Context, 'signal' | 'terminal'>,
): Promise<ModelInputs[]> {
  const processor = await source.family.loadProcessor(source.config, source.store);
  if (!file.endsWith('.safetensors')) {
    const questions = await loadQuestions(file, samples);
    return calibrationBatches(processor, questions, { signal, onProgress: terminal.progress });
  }
  const opened = await fileSource(file, file);
  try {
    return await readCalibrationFile(processor, await openSafetensors(opened), samples);
  } finally {
    await opened.close();
  }
}
