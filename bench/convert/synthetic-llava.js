/**
 * Write a LLaVA of random bf16 weights with a decoder of any width and depth, to measure what a
 * conversion costs at real size without a real model. Vocabulary, vision tower, tokenizer and
 * picture size are those of the small trained model, so that its pictures and questions fit.
 *
 *   node bench/convert/synthetic-llava.js OUT --layers 2 [--width 4096 --heads 32 --kv-heads 32 --inner 11008]
 *
 * `--vocabulary N` makes the tables longer than the tokenizer's; with `--alike` maps of one width hold
 * the same values over and over, for files of many layers that are only to be loaded.
 */
import { copyFile, mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const SMALL = fileURLToPath(new URL('../../models/llava/', import.meta.url));
/** Values made and written at a time: 8 MiB of bf16. */
const PIECE = 4 * 2 ** 20;
/** Pieces of maps, by their gain, that `--alike` repeats. */
const pieces = new Map();

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    layers: { type: 'string', default: '2' },
    // LLaVA-1.5-7B's.
    width: { type: 'string', default: '4096' },
    heads: { type: 'string', default: '32' },
    'kv-heads': { type: 'string', default: '32' },
    inner: { type: 'string', default: '11008' },
    vocabulary: { type: 'string' },
    alike: { type: 'boolean', default: false },
  },
});
const [layers, width, heads, kvHeads, inner] = [
  values.layers,
  values.width,
  values.heads,
  values['kv-heads'],
  values.inner,
].map(Number);
const out = positionals[0];
if (out === undefined) throw new Error('synthetic-llava: expected a folder to write, got none.');
await write(resolve(out));

async function write(folder) {
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(SMALL)) {
    if (/\.json$/.test(name) && name !== 'config.json') {
      await copyFile(join(SMALL, name), join(folder, name));
    }
  }
  const config = JSON.parse(await readFile(join(SMALL, 'config.json'), 'utf8'));
  const old = config.text_config;
  config.text_config = {
    ...old,
    hidden_size: width,
    intermediate_size: inner,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: width / heads,
  };
  const vocabulary = Number(values.vocabulary ?? old.vocab_size);
  config.text_config.vocab_size = vocabulary;
  const small = await headerOf(join(SMALL, 'model.safetensors'));
  const shapes = new Map();
  for (const [name, { shape }] of small) {
    if (/^language_model\.model\.layers\./.test(name)) continue;
    const wide = /^(language_model|multi_modal_projector)/.test(name);
    const [from, to] = /embed_tokens|lm_head/.test(name) ? [shape[0], vocabulary] : [];
    const sized = shape.map((size) => (size === from ? to : size));
    shapes.set(name, wide ? sized.map((size) => (size === old.hidden_size ? width : size)) : sized);
  }
  for (let layer = 0; layer < layers; layer++) addLayer(shapes, layer);
  await writeTensors(join(folder, 'model.safetensors'), shapes);
  await writeFile(join(folder, 'config.json'), JSON.stringify(config, null, 1));
}

function addLayer(shapes, layer) {
  const at = `language_model.model.layers.${layer}`;
  const keys = (kvHeads * width) / heads;
  shapes.set(`${at}.input_layernorm.weight`, [width]);
  shapes.set(`${at}.post_attention_layernorm.weight`, [width]);
  for (const [letter, rows] of Object.entries({ q: width, k: keys, v: keys, o: width })) {
    shapes.set(`${at}.self_attn.${letter}_proj.weight`, [rows, width]);
  }
  shapes.set(`${at}.mlp.gate_proj.weight`, [inner, width]);
  shapes.set(`${at}.mlp.up_proj.weight`, [inner, width]);
  shapes.set(`${at}.mlp.down_proj.weight`, [width, inner]);
}

async function headerOf(path) {
  const file = await open(path);
  const { buffer: start } = await file.read(Buffer.alloc(8), 0, 8, 0);
  const length = Number(start.readBigUInt64LE());
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, 8);
  await file.close();
  return Object.entries(JSON.parse(buffer.toString())).filter(([name]) => name !== '__metadata__');
}

async function writeTensors(path, shapes) {
  const header = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const [name, shape] of shapes) {
    const start = end;
    end += 2 * sizeOf(shape);
    header[name] = { dtype: 'BF16', shape, data_offsets: [start, end] };
  }
  const text = JSON.stringify(header);
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = await open(path, 'w');
  await file.writeFile(Buffer.concat([length, json]));
  let seed = 1;
  for (const [name, shape] of shapes) {
    for await (const piece of randomPieces(name, shape, seed++)) await file.writeFile(piece);
  }
  await file.close();
}

/** Maps of unit gain, norms about 1, uniform from a seed (xorshift), in bf16. */
function* randomPieces(name, shape, seed) {
  const norm = /norm\d?\.weight$/.test(name) || /layrnorm\.weight$/.test(name);
  const gain = norm ? 0.25 : Math.sqrt(3 / Math.max(1, sizeOf(shape.slice(1))));
  if (!values.alike) return yield* piecesOf(sizeOf(shape), norm, gain, seed);
  const key = `${norm} ${gain}`;
  if (!pieces.has(key)) pieces.set(key, piecesOf(PIECE, norm, gain, seed).next().value);
  for (let left = 2 * sizeOf(shape); left > 0; left -= 2 * PIECE) {
    yield pieces.get(key).subarray(0, Math.min(left, 2 * PIECE));
  }
}

function* piecesOf(size, norm, gain, seed) {
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  for (let left = size; left > 0; ) {
    const floats = new Float32Array(Math.min(PIECE, left));
    for (let i = 0; i < floats.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      floats[i] = (norm ? 1 : 0) + (state / 2 ** 31) * gain;
    }
    const bits = new Uint32Array(floats.buffer);
    const words = new Uint16Array(floats.length);
    for (let i = 0; i < words.length; i++) words[i] = bits[i] >>> 16;
    yield Buffer.from(words.buffer);
    left -= floats.length;
  }
}

function sizeOf(shape) {
  return shape.reduce((product, size) => product * size, 1);
}
