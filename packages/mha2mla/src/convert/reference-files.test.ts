/** What is written for the Python reference: its keys and no others, and the files that they name. */
import { memorySource, memoryStore, readRankFile } from '@mha2mla/checkpoint';
import { describeBackends } from '@mha2mla/testing';
import { llava, openVlm, VisionLanguageModel, type VlmSource } from '@mha2mla/vlm-adapters';
import { describe, expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import { traceModel } from '../trace/trace-model';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { openTinyLlava, tinyInputs } from './tiny-llava';

interface Written {
  source: VlmSource;
  files: Map<string, Uint8Array>;
}

async function convert(options: ConvertRunOptions): Promise<Written> {
  const output = memoryOutput();
  await convertModel(await openTinyLlava({ bias: true }), output, {
    ropeDim: 4,
    calibration: [tinyInputs()],
    ...options,
  });
  const source = await openVlm(memoryStore(output.files), { families: [llava] });
  return { source, files: output.files };
}

const blockOf = ({ files }: Written, name = 'config.json') =>
  JSON.parse(new TextDecoder().decode(files.get(name))).mha2mla;

const pairsOf = ({ source }: Written) =>
  source.config.decoder.mla!.ropePairs.map((layer) => layer.map((pairs) => [...pairs]));

async function logits(source: VlmSource) {
  const model = await VisionLanguageModel.load(source);
  const trace = await traceModel(model, tinyInputs());
  model.dispose();
  return trace.get('logits')!.values;
}

/** As in fixtures/hf/qwen2_5_vl/mha2mla/converted_checkpoint/config.json. */
const STAGE1 = {
  is_gqa2mha2mla: false,
  low_rank: 4,
  partial_rope_version: 'mkl',
  peft_train: null,
  qk_tensor_path: 'ranks.pth',
  rope_dim_for_mla: 4,
  svd_init_method: 'none',
  uniform_start_point: 0,
};

describeBackends('layout reference', () => {
  test('both layouts of one conversion are one model', async () => {
    const written = await convert({ rank: 4, layout: 'reference' });
    const extended = await convert({ rank: 4 });
    expect(pairsOf(written)).toEqual(pairsOf(extended));
    expect(await logits(written.source)).toEqual(await logits(extended.source));
  });
});

describe('layout reference', () => {
  test('the config has the published keys, and names a rank file and a first stage', async () => {
    const written = await convert({ rank: 4, layout: 'reference' });
    const stage2 = { stage1_path: 'stage1_config.json', svd_init_weight_path: null };
    expect(blockOf(written)).toEqual({ ...STAGE1, ...stage2, svd_init_method: 'joint' });
    expect(blockOf(written, 'stage1_config.json')).toEqual(STAGE1);
    const { ranks, shape } = await readRankFile(memorySource(written.files.get('ranks.pth')!));
    expect(shape).toEqual([2, 2, 8]);
    const kept = [...ranks].flatMap((rank, i) => (rank < 2 && i % 8 < 4 ? [i % 8] : []));
    expect(kept).toEqual(pairsOf(written).flat(2));
    for (let head = 0; head < 4; head++) {
      const own = [...ranks.subarray(head * 8, head * 8 + 8)];
      expect(own.slice(4)).toEqual(own.slice(0, 4));
      expect(own.slice(4).sort()).toEqual([0, 1, 2, 3]);
    }
  });

  test('without low rank it is a first stage', async () => {
    const written = await convert({ factor: 'none', layout: 'reference' });
    expect(blockOf(written)).toEqual({ ...STAGE1, low_rank: 0 });
    expect(written.files.has('stage1_config.json')).toBe(false);
  });

  test('pairs chosen by other scores are in a rank file, too, by the name that means one', async () => {
    const written = await convert({ rank: 4, strategy: 'norm2', layout: 'reference' });
    expect(blockOf(written)).toMatchObject({
      partial_rope_version: 'mkl',
      qk_tensor_path: 'ranks.pth',
    });
    const extended = await convert({ rank: 4, strategy: 'norm2' });
    expect(blockOf(extended)).toMatchObject({ partial_rope_version: 'mkl', qk_tensor_path: null });
    expect(pairsOf(written)).toEqual(pairsOf(extended));
  });

  test('pairs that follow from the config need no rank file', async () => {
    const written = await convert({ rank: 4, strategy: 'uniform', layout: 'reference' });
    expect(blockOf(written)).toMatchObject({ qk_tensor_path: null });
    expect(written.files.has('ranks.pth')).toBe(false);
  });

  test('a rank file that is missing is named', async () => {
    const { files } = await convert({ rank: 4, layout: 'reference' });
    files.delete('ranks.pth');
    await expect(openVlm(memoryStore(files), { families: [llava] })).rejects.toMatchObject({
      code: 'missing-file',
      message: expect.stringContaining('the rank file "ranks.pth" that mha2mla.qk_tensor_path'),
    });
  });

  test('what has no place there is refused', async () => {
    const refused = (options: ConvertRunOptions, message: string) =>
      expect(convert({ rank: 4, layout: 'reference', ...options })).rejects.toThrow(message);
    await refused({ groups: 2 }, 'layout reference needs groups=1.');
    await refused({ cache: { kvBits: 4 } }, 'needs no cache bits.');
    await refused({ videoAsText: false }, 'needs videoAsText=true.');
    await refused({ decouple: false }, 'needs decouple=true.');
  });
});
