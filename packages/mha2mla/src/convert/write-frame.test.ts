/** What a converted folder holds: shards and their index, kept tensors, companions, config, card. */
import { encodeTensor, memoryStore, openSafetensors } from '@mha2mla/checkpoint';
import { describeBackends, expectClose } from '@mha2mla/testing';
import { llava, openVlm, parseMlaConfig, type VlmSource } from '@mha2mla/vlm-adapters';
import { describe, expect, test } from 'vitest';
import { memoryOutput } from '../output/result-output';
import type { ConversionReport } from './conversion-report';
import { type ConvertRunOptions, convertModel } from './convert-model';
import { openTinyLlava, type TinyLlavaOptions, tinyInputs } from './tiny-llava';

const LAYER = 'language_model.model.layers.0';
const REPLACED = /self_attn\.[qkv]_proj\./;
const IDS = 'vision_tower.vision_model.embeddings.position_ids';
const BUFFER = `${LAYER}.self_attn.rotary_emb.inv_freq`;

/** Buffers that older checkpoints have: integers, and a float that no decoder reads. */
const BUFFERS: TinyLlavaOptions['tensors'] = {
  [IDS]: { dtype: 'I64', shape: [1, 5], values: Int32Array.of(0, 1, 2, 3, 4) },
  [BUFFER]: { dtype: 'F32', shape: [4], values: Float32Array.of(1, 0.1, 0.01, 0.001) },
};

interface Written {
  original: VlmSource;
  converted: VlmSource;
  report: ConversionReport;
  files: Map<string, Uint8Array>;
}

async function convert(model: TinyLlavaOptions, options: ConvertRunOptions = {}): Promise<Written> {
  const original = await openTinyLlava(model);
  const output = memoryOutput();
  const report = await convertModel(original, output, {
    strategy: 'low',
    rank: options.factor === 'none' ? undefined : 4,
    init: 'weights',
    ...options,
  });
  const converted = await openVlm(memoryStore(output.files), { families: [llava] });
  return { original, converted, report, files: output.files };
}

function json(files: Written['files'], name: string) {
  return JSON.parse(new TextDecoder().decode(files.get(name)));
}

describe('tensors of a converted folder', () => {
  test.each(['BF16', 'F16', 'F32'] as const)(
    '%s: what is kept is byte-identical, what is new has the same precision',
    async (dtype) => {
      const { original, converted } = await convert({ dtype, bias: true, tensors: BUFFERS });
      const kept = [...original.checkpoint.tensors.keys()].filter(
        (name) => !(name.startsWith('language_model') && REPLACED.test(name)),
      );
      expect(kept).toContain(IDS);
      expect(kept).toContain(BUFFER);
      for (const name of kept) {
        const { dtype: own, shape } = original.checkpoint.tensors.get(name)!;
        expect(converted.checkpoint.tensors.get(name), name).toMatchObject({ dtype: own, shape });
        expect(await converted.checkpoint.readBytes(name), name).toEqual(
          await original.checkpoint.readBytes(name),
        );
      }
      const fresh = [...converted.checkpoint.tensors.values()].filter(
        ({ name }) => !kept.includes(name),
      );
      expect(new Set(fresh.map((tensor) => tensor.dtype))).toEqual(new Set([dtype]));
      expect(fresh.map(({ name }) => name).filter((name) => name.startsWith(LAYER))).toEqual(
        [
          'k_r_proj.bias',
          'k_r_proj.weight',
          ...['img', 'text'].flatMap((modality) =>
            ['down_kv.weight', 'up_k.bias', 'up_k.weight', 'up_v.bias', 'up_v.weight'].map(
              (name) => `kv_proj_${modality}.${name}`,
            ),
          ),
          'q_proj.bias',
          'q_proj.weight',
        ].map((name) => `${LAYER}.self_attn.${name}`),
      );
    },
  );

  test.each(['BF16', 'F16', 'F32'] as const)(
    'a precision that is asked for, %s, is that of all floats and of the config',
    async (dtype) => {
      const { original, converted, files } = await convert({ tensors: BUFFERS }, { dtype });
      for (const { name, dtype: own } of converted.checkpoint.tensors.values()) {
        expect(own, name).toBe(name === IDS ? 'I64' : dtype);
      }
      const name = `${LAYER}.mlp.up_proj.weight`;
      const values = await original.checkpoint.readFloat32(name);
      expect(await converted.checkpoint.readBytes(name)).toEqual(encodeTensor(values, dtype));
      const names = { BF16: 'bfloat16', F16: 'float16', F32: 'float32' };
      expect(json(files, 'config.json').torch_dtype).toBe(names[dtype]);
    },
  );

  test.each(['mlp.up_proj', 'self_attn.q_proj'])(
    'a weight of %s beyond float16 is refused by name, and kept in bfloat16',
    async (projection) => {
      const name = `${LAYER}.${projection}.weight`;
      const shape = projection === 'mlp.up_proj' ? [48, 32] : [32, 32];
      const values = new Float32Array(shape[0]! * 32).fill(0.5);
      values[3] = 1e5;
      const tensors: TinyLlavaOptions['tensors'] = { [name]: { dtype: 'BF16', shape, values } };
      // Row 0 of the query is the ninth once the two turned dims of four heads precede it.
      await expect(convert({ dtype: 'BF16', tensors }, { dtype: 'F16' })).rejects.toThrow(
        `${name} must fit F16, got 99840 at element ${projection === 'mlp.up_proj' ? 3 : 259}`,
      );
      const { converted } = await convert({ dtype: 'BF16', tensors });
      expect(await converted.checkpoint.readFloat32(name)).toContain(99840);
    },
  );

  test('the index names every tensor with its shard and their size', async () => {
    const { converted, files } = await convert({ layers: 3, tensors: BUFFERS });
    const { weight_map, metadata } = json(files, 'model.safetensors.index.json');
    const shards = [...files.keys()].filter((name) => name.endsWith('.safetensors')).sort();
    expect(shards).toEqual([1, 2, 3, 4].map((n) => `model-0000${n}-of-00004.safetensors`));
    const store = memoryStore(files);
    let sizeBytes = 0;
    const found: Record<string, string> = {};
    for (const shard of shards) {
      const { tensors, metadata } = await openSafetensors((await store.open(shard))!);
      expect(metadata.get('format')).toBe('pt');
      for (const { name, start, end } of tensors.values()) {
        found[name] = shard;
        sizeBytes += end - start;
      }
    }
    expect(weight_map).toEqual(found);
    expect(Object.keys(weight_map)).toEqual(Object.keys(weight_map).sort());
    expect(Object.keys(weight_map).length).toBe(converted.checkpoint.tensors.size);
    expect(metadata.total_size).toBe(sizeBytes);
  });
});

describe('other files of a converted folder', () => {
  test('companions are copied byte for byte, whatever they hold', async () => {
    // More than one part of a copy, a byte order mark, and bytes that are no UTF-8.
    const big = Uint8Array.from({ length: 5_000_000 }, (_, i) => (i * 31) & 255);
    const companions = {
      'tokenizer.json': big,
      'tokenizer.model': Uint8Array.of(0, 255, 128, 10),
      'merges.txt': Uint8Array.of(0xef, 0xbb, 0xbf, 97, 13, 10),
      'vocab.json': new Uint8Array(0),
      LICENSE: new TextEncoder().encode('Free.'),
    };
    const { files } = await convert({
      files: { ...companions, 'notes.txt': Uint8Array.of(1), 'README.md': Uint8Array.of(2) },
    });
    for (const [name, bytes] of Object.entries(companions)) {
      expect(Buffer.compare(files.get(name)!, bytes), name).toBe(0);
    }
    expect(files.has('notes.txt')).toBe(false);
  });

  test('config.json is written last and is the original one but for its block', async () => {
    const { original, files } = await convert({ dtype: 'BF16' });
    expect([...files.keys()].at(-1)).toBe('config.json');
    const { mha2mla, ...rest } = json(files, 'config.json');
    expect(rest).toEqual(original.config.source.raw);
    expect(mha2mla).toMatchObject({
      low_rank: 4,
      partial_rope_version: 'low',
      rope_dim_for_mla: 2,
    });
  });

  test.each([
    ['joint', 'joint'],
    ['split', 'split'],
    ['key', 'only_key'],
    ['value', 'only_value'],
    ['none', 'none'],
  ] as const)('factor %s is named %s, as the reference does', async (factor, name) => {
    const { files } = await convert({}, { factor });
    expect(json(files, 'config.json').mha2mla.svd_init_method).toBe(name);
  });

  test('the card says what was done and what it saves', async () => {
    const { files, report } = await convert({ kvHeads: 2 }, { dtype: 'F32', cache: { kvBits: 8 } });
    const card = new TextDecoder().decode(files.get('README.md'));
    // 2 layers, 2 KV heads of 8 + 8 dims before; 4 latent and 2 rotary ones each after, in 8 bits
    // with 4 bytes of scale and zero point a group.
    expect(report.cacheBytesPerToken).toEqual({ original: 128, converted: 2 * (8 + 4 + 4 + 4) });
    expect(card).toMatch(/^---\nlibrary_name: mha2mla\nbase_model: "memory"\n/);
    expect(card).toContain(
      'takes 40 bytes a token, where the original takes 128 in 16 bits (31.3 %)',
    );
    expect(card).toContain('- strategy: low\n- ropeDim: 2\n');
    expect(card).toContain('- dtype: F32\n- cache: {"kvBits":8}\n');
    expect(card).not.toMatch(/undefined|needs/);
  });

  test('report.json is the report', async () => {
    const { files, report } = await convert(
      {},
      { ranks: Uint8Array.from({ length: 32 }, (_, i) => i % 4) },
    );
    expect(json(files, 'report.json')).toEqual(JSON.parse(JSON.stringify(report)));
    expect(report).toMatchObject({ family: 'llava', options: { ranks: 'given', rank: 4 } });
    expect(report.layers.map(({ layer }) => layer)).toEqual([0, 1]);
  });
});

describeBackends('the mha2mla block', () => {
  test.each<[string, ConvertRunOptions]>([
    ['high', { strategy: 'high', ropeDim: 4 }],
    ['uniform', { strategy: 'uniform', ropeDim: 4, uniformStart: 1 }],
    ['mkl, groups', { strategy: 'mkl', ropeDim: 4, groups: 2 }],
    ['a packed cache', { strategy: 'low', cache: { kvBits: { vision: 4 }, ropeBits: 8 } }],
  ])('%s: is read back as it was meant', async (_, options) => {
    const calibration = [tinyInputs(1)];
    const { converted, files, report } = await convert({ bias: true }, { calibration, ...options });
    const { mla } = converted.config.decoder;
    expect(mla!.groups).toBe(options.groups ?? 1);
    expect(converted.cache).toEqual(options.cache ?? {});
    expect(mla!.ropePairs.map((layer) => layer.map((head) => [...head]))).toEqual(
      report.layers.map(({ ropePairs }) => ropePairs),
    );
    const { rope_pairs, ...published } = json(files, 'config.json').mha2mla;
    if (options.strategy === 'mkl') return;
    // Where the published keys say enough, they say the same.
    expect(rope_pairs).toBeDefined();
    expect(parseMlaConfig(published, converted.config.decoder)).toEqual(mla);
  });

  test('the bytes a token that are reported are those of the folder', async () => {
    const { converted, report } = await convert({ kvHeads: 4 }, { factor: 'value', rank: 3 });
    const heads = 2 * 4; // layers x KV heads
    // A key of 8 dims and a latent of 3, at 2 bytes.
    expect(report.cacheBytesPerToken).toEqual({ original: heads * 32, converted: heads * 22 });
    const down = `${LAYER}.self_attn.kv_proj_img.down_v.weight`;
    expect(converted.checkpoint.tensors.get(down)!.shape).toEqual([12, 32]);
    expectClose(
      [report.layers[0]!.vision!.relativeError],
      [report.layers[0]!.text!.relativeError],
      {},
    );
  });
});
