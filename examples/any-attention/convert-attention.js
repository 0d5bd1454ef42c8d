/**
 * A pipeline of your own, for an attention layer of any model: partial RoPE, a latent, four bits, and
 * the attention's output after each of them. It takes plain tensors, and knows no checkpoint, no
 * family and no decoder.
 *
 *   node examples/any-attention/convert-attention.js
 *
 * It prints, in 3 seconds, what each step costs the attention's output, relative to its size:
 *
 *   original                         256 bytes a token, error 0.00
 *   all pairs rotate                 256 bytes a token, error 0.00
 *   8 dims of 32 rotate              256 bytes a token, error 0.0347
 *   and a latent of 112              256 bytes a token, error 0.0347
 *   and a latent of 24               80 bytes a token, error 0.0660
 *   in 4 bits, rotary keys in 8      40 bytes a token, error 0.102
 *   pairs that rotate: 0 4 8 12 | 0 4 8 12
 *   keys and values come out of the latent with an error of 0.072
 *
 * Two lines are checks: all pairs, and a latent of full rank, change nothing. The pairs found are those
 * that the layer was made to need. For a layer of your own, replace what `layer` holds.
 */
import '@tensorflow/tfjs-backend-wasm';
import { bytesPerToken, QuantizedCache } from '@mha2mla/kv-quant';
import { jointFactors, loadLinearAlgebra, SecondMoment } from '@mha2mla/lowrank';
import { applyRotary, rotaryAngles } from '@mha2mla/mla-runtime';
import {
  addMklScores,
  addUnrotation,
  applyUnrotation,
  emptyMklSums,
  emptyUnrotationSums,
  mklScores,
  pairsFromRanks,
  ranksFromScores,
  solveUnrotation,
  splitRows,
} from '@mha2mla/partial-rope';
import * as tf from '@tensorflow/tfjs-core';

await tf.setBackend('wasm');

// 1. Somebody's layer: D wide, N query heads and K KV heads of H dims, T tokens that it has seen.
// Inputs of real layers lie close to few directions, which is what a latent lives on, and few of their
// rotary pairs are strong: here every fourth, dims (i, i + H / 2).
const [T, D, N, K, H] = [256, 128, 8, 2, 32];
const normal = (shape, deviation, seed) => tf.randomNormal(shape, 0, deviation, 'float32', seed);
const strength = (rows) => tf.reshape(tf.tile([3, 0.5, 0.3, 0.2], [rows / 4]), [rows, 1]);
const strong = (rows, seed) => tf.mul(normal([rows, D], D ** -0.5, seed), strength(rows));
const layer = {
  hidden: tf.add(tf.matMul(normal([T, 20], 1, 1), normal([20, D], 0.2, 2)), normal([T, D], 0.1, 3)),
  qProj: strong(N * H, 4), // rows are outputs, as checkpoints store them
  kProj: strong(K * H, 5),
  vProj: normal([K * H, D], D ** -0.5, 6),
  angles: rotaryAngles(
    Int32Array.from({ length: T }, (_, t) => t),
    T,
    {
      ...{ headDim: H, ropeTheta: 10_000 },
    },
  ),
};

/** x Wᵀ by heads: [heads, T, outputs a head]. */
const heads = (weight, count) =>
  tf.transpose(tf.reshape(tf.matMul(layer.hidden, weight, false, true), [T, count, -1]), [1, 0, 2]);
/** Query heads beside the KV head that they share: [N, T, W] to [K, N / K * T, W]. */
const grouped = (query) => tf.reshape(query, [K, -1, query.shape[2]]);
/** Turn pairs by their tokens' positions, [heads, T, R]; all pairs, or each head's own. */
const turned = (x, pairs) => {
  const table = {
    cos: tf.tensor3d(layer.angles.cos, [1, T, H / 2]),
    sin: tf.tensor3d(layer.angles.sin, [1, T, H / 2]),
  };
  const byToken = tf.expandDims(tf.transpose(x, [1, 0, 2]), 0); // [1, T, heads, R]
  const share = x.shape[0] / K;
  const own = pairs && Array.from({ length: x.shape[0] }, (_, i) => pairs[Math.floor(i / share)]);
  return tf.transpose(tf.squeeze(applyRotary(byToken, table, own), [0]), [1, 0, 2]);
};
/** Causal attention whose scores are sums over parts, [queries, keys] each, by KV head. */
const attend = (parts, values) => {
  const sums = parts.map(([query, key]) => tf.matMul(query, key, false, true)).reduce(tf.add);
  const scores = tf.reshape(tf.div(sums, Math.sqrt(H)), [N, T, T]);
  const later = tf.sub(1, tf.linalg.bandPart(tf.ones([T, T]), -1, 0));
  const shares = tf.softmax(tf.sub(scores, tf.mul(later, 1e9)));
  return tf.matMul(grouped(shares), values); // [K, N / K * T, V]
};

const [query, key, value] = [heads(layer.qProj, N), heads(layer.kProj, K), heads(layer.vProj, K)];
const original = attend([[grouped(turned(query)), turned(key)]], value);

const show = (name, bytes, output) => {
  const error = tf.div(tf.norm(tf.sub(output, original)), tf.norm(original));
  console.log(name.padEnd(32), `${bytes} bytes a token, error ${error.arraySync().toPrecision(3)}`);
};
show('original', 2 * 2 * K * H, original);

// 2. Which rotary pairs does attention miss most? `partial-rope` wants q and k before rotation, as
// arrays. All rows are text here; with pictures among them mark theirs, and both count alike.
const counts = { numAttentionHeads: N, numKeyValueHeads: K, headDim: H };
const { cos, sin } = layer.angles;
const sample = {
  ...{ query: await query.data(), queryCos: cos, querySin: sin },
  ...{ key: await key.data(), keyCos: cos, keySin: sin },
  rowColumn: Int32Array.from({ length: T }, (_, t) => t),
  rowIsVision: new Uint8Array(T),
};
const sums = emptyMklSums(counts);
addMklScores(sums, sample, counts);
const ranks = ranksFromScores(mklScores(sums), K);

/** Projections by what rotates and what does not; a fitted constant turn takes the rotation's place. */
async function splitLayer(ropeDim) {
  const pairs = pairsFromRanks(ranks, { ...counts, ropeDim });
  const fit = emptyUnrotationSums(pairs, counts);
  addUnrotation(fit, sample);
  const options = { headDim: H, width: D };
  const qRows = applyUnrotation(await layer.qProj.data(), solveUnrotation(fit), options);
  const rowsOf = (weight, count) => {
    const { ropeRows, nopeRows } = splitRows(pairs, { ...counts, numHeads: count });
    return [ropeRows, nopeRows].map((rows) => tf.gather(weight, tf.tensor1d(rows, 'int32')));
  };
  const [qRope, qNope] = rowsOf(tf.tensor2d(qRows, [N * H, D]), N);
  const [kRope, kNope] = rowsOf(layer.kProj, K);
  return {
    pairs,
    rotary: [grouped(turned(heads(qRope, N), pairs)), turned(heads(kRope, K), pairs)],
    qNope,
    kNope, // [K * P, D]
  };
}

const whole = await splitLayer(H);
show('all pairs rotate', 2 * 2 * K * H, attend([whole.rotary], value));
const { pairs, rotary, qNope, kNope } = await splitLayer(8);
const plainQuery = grouped(heads(qNope, N)); // [K, N / K * T, P]
const partial = attend([rotary, [plainQuery, heads(kNope, K)]], value);
show('8 dims of 32 rotate', 2 * 2 * K * H, partial);

// 3. One latent for what is left of the keys, and the values. `lowrank` takes the second moment of
// what the layer sees. Absorbed: queries go to the latents, and keys and values are never made.
const la = await loadLinearAlgebra();
const moment = (await new SecondMoment(D).add(layer.hidden)).normalized();
const valueRows = { weight: await layer.vProj.data(), dOut: K * H };
const keyRows = { weight: await kNope.data(), dOut: kNope.shape[0] };

function toLatent(rank) {
  const factors = jointFactors(la, { key: keyRows, value: valueRows, dIn: D, moment, rank });
  const { down, upK, upV, relativeError } = factors;
  const up = (rows) => tf.tensor3d(Float32Array.from(rows), [K, rows.length / rank / K, rank]);
  const inLatent = tf.matMul(plainQuery, up(upK)); // [K, N / K * T, C]
  return {
    latent: heads(tf.tensor2d(Float32Array.from(down), [rank, D]), 1), // [1, T, C]
    relativeError,
    attend: (rotaryKey, latent) => {
      const parts = [
        [rotary[0], rotaryKey],
        [inLatent, latent],
      ];
      return tf.matMul(attend(parts, latent), up(upV), false, true);
    },
  };
}

for (const rank of [K * (24 + 32), 24]) {
  const made = toLatent(rank);
  const bytes = 2 * (K * 8 + rank);
  show(`and a latent of ${rank}`, bytes, made.attend(rotary[1], made.latent));
}

// 4. The caches. What a decoder would append token by token comes at once here, to the same bytes.
const { attend: attendLatent, latent, relativeError } = toLatent(24);
const stored = (x, spec) => {
  const cache = new QuantizedCache({ spec });
  cache.append(x);
  return tf.concat(cache.read(), 1);
};
const [four, eight] = [4, 8].map((bits) => ({ method: 'affine', bits }));
show(
  'in 4 bits, rotary keys in 8',
  bytesPerToken(four, 24) + K * bytesPerToken(eight, 8),
  attendLatent(stored(rotary[1], eight), stored(latent, four)),
);
console.log('pairs that rotate:', pairs.map((own) => own.join(' ')).join(' | '));
console.log(`keys and values come out of the latent with an error of ${relativeError.toFixed(3)}`);
