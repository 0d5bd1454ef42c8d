/**
 * `@mha2mla/kv-quant` alone: the cache of ordinary attention, keys and values a head, in fewer bits.
 * No model, no latents.
 *
 *   node examples/kv-quant/quantize-cache.js
 *
 * It prints, in 2 seconds, bytes with scales and errors relative to what they are of:
 *
 *   8 bits                   9.00 bits a value, error of scores 0.006, output 0.008
 *   4 bits                   5.00 bits a value, error of scores 0.109, output 0.099
 *   4 bits, keys rotated     4.75 bits a value, error of scores 0.084, output 0.083
 *   4 bits, keys by channel  5.00 bits a value, error of scores 0.076, output 0.084
 *   2 bits, keys by channel  3.00 bits a value, error of scores 0.380, output 0.446
 *   and 32 tokens exact      4.81 bits a value, error of scores 0.371, output 0.150
 *   at once or step by step: the same
 *   back to 400 tokens: { exact: 0, coded: 400, early: 48 }
 *
 * In a decoder of your own, a layer has one cache for keys and one for values: `append` after each
 * step, `read` in place of what it held, `rewind` where a conversation goes back.
 */
import '@tensorflow/tfjs-backend-wasm';
import { QuantizedCache } from '@mha2mla/kv-quant';
import * as tf from '@tensorflow/tfjs-core';

await tf.setBackend('wasm');

// 1. What a layer caches: 4 heads of 64 dims, a prompt of 480 tokens and 32 that follow. Some channels
// of keys are ten times as large as others, in every token, as they are in real models.
const [heads, width, prompt, answer] = [4, 64, 480, 32];
const normal = (length, seed) => tf.randomNormal([1, heads, length, width], 0, 1, 'float32', seed);
const channels = Array.from({ length: width }, (_, channel) => (channel % 16 === 3 ? 10 : 1));
const keys = tf.mul(normal(prompt + answer, 1), channels);
const values = normal(prompt + answer, 2);
// The last token asks for one a few tokens back, as most do, [B, heads, 1, C].
const wanted = tf.slice(keys, [0, 0, prompt + answer - 8, 0], [1, heads, 1, width]);
const query = tf.mul(tf.div(wanted, channels), 0.6);

const scoresOf = (key) => tf.div(tf.matMul(query, key, false, true), Math.sqrt(width));
const attend = (key, value) => tf.matMul(tf.softmax(scoresOf(key)), value);
const exact = { scores: scoresOf(keys), output: attend(keys, values) };
const errorOf = (x, y) => tf.div(tf.norm(tf.sub(x, y)), tf.norm(y)).arraySync();

/** The prompt at once, then token by token, as a decoder does. */
function fill(options, x) {
  const cache = new QuantizedCache(options);
  cache.append(tf.slice(x, [0, 0, 0, 0], [1, heads, prompt, width]));
  for (let t = prompt; t < prompt + answer; t++) {
    cache.append(tf.slice(x, [0, 0, t, 0], [1, heads, 1, width]));
  }
  return cache;
}

// 2. Ways to store them. A scale for 32 channels of a token takes the large channels' step for all of
// them; one for 32 tokens of a channel (KIVI) does not; a rotation (lloyd-max) spreads them out.
const affine = (bits, axis) => ({ method: 'affine', bits, axis });
const residualLength = 32; // the newest tokens stay exact
for (const [name, key, value] of [
  ['8 bits', { spec: affine(8, 'token') }, { spec: affine(8, 'token') }],
  ['4 bits', { spec: affine(4, 'token') }, { spec: affine(4, 'token') }],
  [
    '4 bits, keys rotated',
    { spec: { method: 'lloyd-max', bits: 4 } },
    { spec: affine(4, 'token') },
  ],
  ['4 bits, keys by channel', { spec: affine(4, 'channel') }, { spec: affine(4, 'token') }],
  ['2 bits, keys by channel', { spec: affine(2, 'channel') }, { spec: affine(2, 'token') }],
  [
    'and 32 tokens exact',
    { spec: affine(2, 'channel'), residualLength },
    { spec: affine(2, 'token'), residualLength },
  ],
]) {
  const caches = [fill(key, keys), fill(value, values)];
  const [readKeys, readValues] = caches.map((cache) => tf.concat(cache.read(), 2));
  const bytes = caches.reduce((sum, cache) => sum + cache.bytes.nominal.total, 0);
  const bits = ((8 * bytes) / (keys.size + values.size)).toFixed(2);
  const scores = errorOf(scoresOf(readKeys), exact.scores).toFixed(3);
  const output = errorOf(attend(readKeys, readValues), exact.output).toFixed(3);
  console.log(
    `${name.padEnd(24)} ${bits} bits a value, error of scores ${scores}, output ${output}`,
  );
}

// 3. A cache only appends, so chunks do not matter; and it can go back, as far as a turn of a
// conversation that is asked again.
const options = { spec: affine(4, 'channel'), residualLength };
const cache = fill(options, keys);
const atOnce = new QuantizedCache(options);
atOnce.append(keys);
const [stepwise, whole] = [cache, atOnce].map((one) => tf.concat(one.read(), 2));
console.log(
  'at once or step by step:',
  errorOf(stepwise, whole) === 0 ? 'the same' : 'not the same',
);
console.log('back to 400 tokens:', cache.rewind(400));
