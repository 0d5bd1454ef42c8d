/** What a run takes besides a model, with edited bytes and values: pictures, DATA, prepared inputs. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memorySource, memoryStore, openSafetensors } from '@mha2mla/checkpoint';
import {
  fixture,
  fuzz,
  fuzzBytes,
  fuzzJson,
  joinSafetensors,
  splitSafetensors,
} from '@mha2mla/testing';
import { openVlm, type Processor, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCalibrationFile } from '../data/calibration-samples';
import { parseConversations } from '../data/conversation';
import { samplesOf } from '../data/question';
import { readModelInputs } from '../trace/read-model-inputs';
import { traceModel } from '../trace/trace-model';
import { decodeImage } from './decode-image';
import { loadQuestions } from './load-data';
import { FAMILIES } from './open-model';

const HF = 'fixtures/hf';
const bytesOf = (path: string) => new Uint8Array(readFileSync(fixture(path)));

const pictures: Record<string, { file: string }> = JSON.parse(
  readFileSync(fixture('packages/mha2mla/src/node/testing/pictures.json'), 'utf8'),
);

describe('pictures', () => {
  test.each(Object.keys(pictures))('%s with edited bytes', async (name) => {
    const bytes = new Uint8Array(Buffer.from(pictures[name]!.file, 'base64'));
    const read = async (edited: Uint8Array) => {
      const { data, width, height, channels } = await decodeImage(edited, 'x');
      expect(data.length).toBe(width * height * channels!);
    };
    // A header may claim any size up to the cap of pixels, and each costs a few bytes.
    await fuzzBytes(bytes, read, { runs: 60, maxBytes: 2 ** 30 });
  });
});

describe('DATA', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'mha2mla-fuzz-'));
    writeFileSync(join(folder, 'a.png'), bytesOf(`${HF}/llava/images/p1_img1.png`));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const png = `data:image/png;base64,${pictures.png!.file}`;
  const entries = [
    {
      id: 'x1',
      image: 'a.png',
      conversations: [
        { from: 'human', value: '<image>\nWhat is it?' },
        { from: 'gpt', value: 'A cup.' },
      ],
    },
    {
      kind: 'count',
      messages: [
        { role: 'user', content: [{ type: 'image' }, { type: 'text', text: 'How many?' }] },
        { role: 'assistant', content: ['two', '2'] },
      ],
      images: [png],
    },
    {
      messages: [
        { role: 'user', content: '<video> What happens?' },
        { role: 'assistant', content: 'It falls.' },
      ],
      videos: [{ frames: ['a.png', './a.png'], fps: 2 }],
    },
  ];

  /** Read the questions, and all that they name. */
  const read = async (content: string | Uint8Array) => {
    const path = join(folder, 'data.json');
    writeFileSync(path, content);
    await samplesOf(await loadQuestions(path));
  };
  const lines = entries.map((entry) => JSON.stringify(entry)).join('\n');

  test('edited values', () => fuzzJson(entries, read, { runs: 400, maxBytes: 2 ** 24 }));

  test('edited bytes of lines', async () => {
    const bytes = new TextEncoder().encode(lines);
    expect(parseConversations(lines, 'x')).toHaveLength(3);
    await fuzzBytes(bytes, read, { runs: 400, maxBytes: 2 ** 24 });
  });
});

/** Prepared inputs of the goldens, and what of them a model takes. */
const PREPARED = [
  ['llava', 'p0', ['pixel_values']],
  ['llava_next', 'p0', ['pixel_values', 'image_sizes']],
  ['qwen2_5_vl', 'p0', ['pixel_values', 'image_grid_thw']],
  ['qwen2_5_vl', 'p2', ['pixel_values_videos', 'video_grid_thw', 'second_per_grid_ts']],
] as const;

describe.each(PREPARED)('prepared inputs of %s, %s', (family, prompt, names) => {
  const CHECKPOINT = `${HF}/${family}/checkpoint`;
  let model: VisionLanguageModel;
  let processor: Processor;
  beforeAll(async () => {
    await tf.setBackend('wasm');
    const store = memoryStore(
      new Map(
        readdirSync(fixture(CHECKPOINT)).map((name) => [name, bytesOf(`${CHECKPOINT}/${name}`)]),
      ),
    );
    const source = await openVlm(store, { families: FAMILIES });
    model = await VisionLanguageModel.load(source);
    processor = await source.family.loadProcessor(source.config, store);
  });
  afterAll(() => model.dispose());

  const runInputs = async (bytes: Uint8Array) => {
    const before = tf.memory().numTensors;
    try {
      const file = await openSafetensors(memorySource(bytes));
      await traceModel(model, await readModelInputs(file));
    } finally {
      expect(tf.memory().numTensors - before).toBe(0);
    }
  };
  const prepare = async (bytes: Uint8Array) => {
    const file = await openSafetensors(memorySource(bytes));
    for (const batch of await readCalibrationFile(processor, file, 1)) {
      model.embed(batch).dispose();
    }
  };
  const inputs = tensorsOf(`${HF}/${family}/goldens/${prompt}.safetensors`, [
    ...['input_ids', 'attention_mask', ...names],
  ]);
  const calibration = tensorsOf(`${HF}/${family}/mha2mla/calibration.safetensors`, [
    ...['input_ids', 'lengths', 'images'],
  ]);

  test.each([
    ['inputs of trace', inputs, runInputs],
    ['a calibration file', calibration, prepare],
  ] as const)('%s with other shapes, types and numbers', async (_, tensors, read) => {
    await fuzz(changes, { runs: 100, maxBytes: 2 ** 27 }, (change) => {
      const bytes = fileOf(changed(tensors, change));
      return { size: bytes.length, read: () => read(bytes) };
    });
  });
});

/** Some tensors of a file, with their bytes. */
function tensorsOf(path: string, names: readonly string[]): StoredTensor[] {
  const { header, body } = splitSafetensors(bytesOf(path));
  return names.map((name) => {
    const { dtype, shape, data_offsets } = header[name] as Header;
    return { name, dtype, shape, data: body.slice(...data_offsets) };
  });
}

interface Header {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

interface StoredTensor {
  name: string;
  dtype: string;
  shape: number[];
  data: Uint8Array;
}

const ITEM_BYTES: ReadonlyMap<string, number> = new Map([
  ...(['U8', 'I8', 'BOOL', 'F8_E4M3'] as const).map((dtype) => [dtype, 1] as const),
  ...(['F16', 'BF16', 'U16'] as const).map((dtype) => [dtype, 2] as const),
  ...(['F32', 'I32', 'U32'] as const).map((dtype) => [dtype, 4] as const),
  ...(['F64', 'I64'] as const).map((dtype) => [dtype, 8] as const),
]);

/** A change of one tensor; those that are left out stay. */
const changes = fc.record({
  which: fc.nat(59), // modulo their number: up to 5
  dtype: fc.option(fc.constantFrom(...ITEM_BYTES.keys()), { freq: 1 }),
  shape: fc.oneof(
    fc.constant(undefined),
    fc.array(fc.constantFrom(0, 1, 2, 3, 16, 56, 224), { maxLength: 5 }),
  ),
  /** One size of the shape, and by what. */
  size: fc.option(fc.tuple(fc.nat(4), fc.constantFrom(0, 1, 2, 3, 57)), { freq: 1 }),
  numbers: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
  remove: fc.constantFrom(false, false, false, false, true),
});
type Change = typeof changes extends fc.Arbitrary<infer T> ? T : never;

function changed(tensors: readonly StoredTensor[], change: Change): StoredTensor[] {
  return tensors.flatMap((tensor, i) => {
    if (i !== change.which % tensors.length) return [tensor];
    if (change.remove) return [];
    const dtype = change.dtype ?? tensor.dtype;
    const shape = [...(change.shape ?? tensor.shape)];
    if (change.size && shape.length > 0) shape[change.size[0] % shape.length] = change.size[1];
    const elements = shape.reduce((product, size) => product * size, 1);
    // Of the old bytes again and again, so that numbers stay in their range.
    const size = Math.min(elements * (ITEM_BYTES.get(dtype) ?? 1), 2 ** 24);
    const data = Uint8Array.from(
      { length: size },
      (_, at) => tensor.data[at % tensor.data.length]!,
    );
    for (const [at, value] of change.numbers) if (size > 0) data[at % size] = value;
    return [{ ...tensor, dtype, shape, data }];
  });
}

function fileOf(tensors: readonly StoredTensor[]): Uint8Array {
  let offset = 0;
  const entries = tensors.map(({ name, dtype, shape, data }) => {
    offset += data.length;
    return [name, { dtype, shape, data_offsets: [offset - data.length, offset] }];
  });
  const text = JSON.stringify(Object.fromEntries(entries));
  return joinSafetensors(text, Buffer.concat(tensors.map(({ data }) => data)));
}
