/** A conversion that was stopped goes on at the layer it had reached, to the same bytes. */
import { describeBackends } from '@mha2mla/testing';
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { expect, test } from 'vitest';
import { memoryOutput, type ResultOutput } from '../output/result-output';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { openTinyLlava, tinyInputs } from './tiny-llava';

const calibration = [tinyInputs(1, 3), tinyInputs(2, 3)];

/** Run until `layers` layers are done. */
async function runUntil(
  source: VlmSource,
  output: ResultOutput,
  options: ConvertRunOptions,
  layers: number,
): Promise<void> {
  const abort = new AbortController();
  const run = convertModel(source, output, {
    ...options,
    signal: abort.signal,
    onProgress: ({ loaded }) => {
      if (loaded === layers) abort.abort(new Error('stopped'));
    },
  });
  await expect(run).rejects.toThrow('stopped');
}

/** An output that notes the pieces it is given. */
function noted(output: ResultOutput): { output: ResultOutput; written: string[] } {
  const written: string[] = [];
  return {
    written,
    output: {
      ...output,
      write: (name, produce) => {
        written.push(name);
        return output.write(name, produce);
      },
    },
  };
}

describeBackends('resuming a conversion', () => {
  test.each<[string, ConvertRunOptions]>([
    ['original', { propagate: 'original', rank: 4 }],
    ['rope', { propagate: 'rope', rank: 4 }],
    ['converted', { propagate: 'converted', rank: 4 }],
    ['converted and cast', { propagate: 'converted', rank: 4, dtype: 'BF16' }],
    ['rope, cast, without factors', { propagate: 'rope', factor: 'none', dtype: 'F16' }],
    ['greedy', { strategy: 'greedy', rank: 4 }],
    ['latents by bands', { rank: 4, cache: { kvMethod: 'bands', kvBits: 3 } }],
    ['no calibration', { strategy: 'low', rank: 4, init: 'weights' }],
  ])('%s: gives the bytes of a run that was not stopped', async (_, options) => {
    const source = await openTinyLlava({ layers: 3, bias: true });
    const given: ConvertRunOptions = { calibration, ...options };
    const whole = memoryOutput();
    const report = await convertModel(source, whole, given);

    const stopped = memoryOutput();
    await runUntil(source, stopped, given, 1);
    await runUntil(source, stopped, given, 2);
    expect(stopped.files.has('config.json')).toBe(false);
    const { output, written } = noted(stopped);
    expect(await convertModel(source, output, given)).toEqual(report);
    expect(stopped.files).toEqual(whole.files);
    expect(written.filter((name) => name.startsWith('layer-'))).toEqual(['layer-00002.json']);
    expect([...stopped.files.keys()].filter((name) => name.startsWith('layer-'))).toEqual([]);
  });

  test('converts a layer anew whose shard is not whole', async () => {
    const source = await openTinyLlava({ layers: 2 });
    const given: ConvertRunOptions = { calibration, rank: 4 };
    const whole = memoryOutput();
    await convertModel(source, whole, given);
    const torn = memoryOutput();
    await runUntil(source, torn, given, 1);
    torn.files.delete('model-00002-of-00003.safetensors');
    await convertModel(source, torn, given);
    expect(torn.files).toEqual(whole.files);
  });
});
