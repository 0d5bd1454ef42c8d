import type { CheckpointError } from '@mha2mla/checkpoint';
import { beforeAll, describe, expect, test } from 'vitest';
import { useBackend } from '../node/register-backends';
import { memoryOutput } from '../output/result-output';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { planConversion } from './plan-conversion';
import { plannedBytes } from './planned-bytes';
import { openTinyLlava, tinyInputs } from './tiny-llava';

beforeAll(async () => {
  await useBackend('cpu');
});

const calibration = [tinyInputs(1, 2)];

/** Bytes of tensors in a file: what follows its header. */
function dataBytes(file: Uint8Array): number {
  return file.length - 8 - Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
}

test.each<ConvertRunOptions>([
  { rank: 4 },
  { rank: 4, groups: 2 },
  { rank: 4, decouple: false, dtype: 'F16' },
  { rank: 3, factor: 'split' },
  { rank: 3, factor: 'key', center: true },
  { rank: 3, factor: 'value', center: true },
  { rank: 3, factor: 'split', center: true },
  { factor: 'none', dtype: 'BF16' },
  { rank: 4, init: 'weights', strategy: 'high' },
])('%j: the bytes that are planned are those that are written', async (options) => {
  for (const bias of [false, true]) {
    const source = await openTinyLlava({ bias });
    const output = memoryOutput();
    await convertModel(source, output, { calibration, ...options });
    const shards = [...output.files].filter(([name]) => name.endsWith('.safetensors')).sort();
    const [rest, ...layers] = shards.map(([, file]) => dataBytes(file));
    const plan = planConversion(source.config.decoder, options);
    expect(plannedBytes(source, plan)).toEqual({ layers, rest });
  }
});

describe('a disk that is too small', () => {
  /** An output on a disk with `free` bytes before each look at it. */
  const onDisk = (...free: number[]) => {
    const output = memoryOutput();
    let looks = 0;
    const freeBytes = async () => free[Math.min(looks++, free.length - 1)]!;
    return { ...output, freeBytes };
  };

  async function run(output: ReturnType<typeof onDisk>) {
    const source = await openTinyLlava({ layers: 3 });
    const { layers, rest } = plannedBytes(
      source,
      planConversion(source.config.decoder, { rank: 4 }),
    );
    const needed = layers.reduce((sum, bytes) => sum + bytes, rest);
    const outcome = convertModel(source, output, { calibration, rank: 4 }).then(
      () => undefined,
      (error: CheckpointError) => error,
    );
    return { needed, layer: layers[0]!, error: await outcome };
  }

  test('is told before any work, with what is missing', async () => {
    const output = onDisk(1000);
    const { error, needed } = await run(output);
    expect(error?.code).toBe('disk-full');
    expect(error?.message).toContain(
      `${needed} bytes more, got 1000 that are free: ${needed - 1000} are missing`,
    );
    expect(output.files.size).toBe(0);
  });

  test('that others fill is told after a layer, and finished layers are kept', async () => {
    const big = 1e9;
    const output = onDisk(big, big, 1000); // before work, before the first layer, before the second
    const { error, needed, layer } = await run(output);
    expect(error?.message).toContain(`${needed - layer} bytes more, got 1000 that are free`);
    expect([...output.files.keys()].sort()).toEqual([
      'layer-00000.json',
      'model-00002-of-00004.safetensors',
    ]);
    // What a resumed run needs is what is still missing.
    const rest = { ...output, freeBytes: async () => needed - layer };
    expect((await run(rest)).error).toBeUndefined();
  });
});
