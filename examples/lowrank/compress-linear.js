/**
 * `@mha2mla/lowrank` alone: make the linear layers of any network narrower, each as narrow as it can
 * bear, with nothing but samples of what they see.
 *
 *   node examples/lowrank/compress-linear.js
 *
 * It prints, in 2 seconds:
 *
 *   36480 of 73728 bytes: ranks 28,19,10, or 19 each
 *   weights alone: error 0.607, by layer 0.608 0.621 0.592
 *   by activations: error 0.307, by layer 0.473 0.241 0.032, predicted 0.455 0.235 0.031
 *   ranks by layer: error 0.253, by layer 0.326 0.241 0.165, predicted 0.311 0.235 0.165
 *
 * Errors are of outputs for inputs that were not among the samples, relative to the outputs' size:
 * knowing the inputs halves them, and sharing the bytes out takes another sixth. The prediction is of
 * the samples, exactly; of others it is a little too kind.
 *
 * For layers of your own: a `SecondMoment` each, that batches are added to (masked rows take no part),
 * and their weights, a row an output. What comes out is two plain matrices a layer, up (down x).
 */
import '@tensorflow/tfjs-backend-wasm';
import { allocateRanks, factorize, loadLinearAlgebra, SecondMoment } from '@mha2mla/lowrank';
import * as tf from '@tensorflow/tfjs-core';

await tf.setBackend('wasm');

// 1. Three layers of 96 to 64, and what they see: inputs whose energy falls by a factor for each
// direction, slowly for the first layer, fast for the last.
const [dIn, dOut, count] = [96, 64, 1000];
const layers = [0.99, 0.95, 0.85].map((fall, i) => ({
  weight: tf.randomNormal([dOut, dIn], 0, dIn ** -0.5, 'float32', 10 + i),
  turn: tf.randomNormal([dIn, dIn], 0, dIn ** -0.5, 'float32', 20 + i),
  sizes: Array.from({ length: dIn }, (_, direction) => fall ** direction),
}));
const inputsOf = ({ turn, sizes }, seed) =>
  tf.matMul(tf.mul(tf.randomNormal([count, dIn], 0, 1, 'float32', seed), sizes), turn);

// 2. Of each layer, the moment of a sample and the curve of its errors: the energy that a latent of so
// many dims drops is the sum of the eigenvalues beyond it.
const la = await loadLinearAlgebra();
const inputs = [];
const curves = [];
for (const [i, layer] of layers.entries()) {
  const moment = (await new SecondMoment(dIn).add(inputsOf(layer, 30 + i))).normalized();
  const input = { weight: await layer.weight.data(), dOut, dIn, moment };
  const { eigenvalues } = factorize(la, { ...input, rank: 0 });
  const total = eigenvalues.reduce((sum, value) => sum + value);
  const errors = [1];
  for (const value of eigenvalues) errors.push(Math.max(0, errors.at(-1) - value / total));
  inputs.push(input);
  curves.push({ errors, bytes: errors.map((_, rank) => 4 * rank * (dIn + dOut)) });
}

// 3. Half of the bytes: the same rank for all, or ranks by what each saves.
const budget = (4 * dIn * dOut * layers.length) / 2;
const even = Math.floor(budget / layers.length / (4 * (dIn + dOut)));
const { ranks, bytes } = allocateRanks(curves, { budget });
console.log(`${bytes} of ${4 * dIn * dOut * layers.length} bytes: ranks ${ranks}, or ${even} each`);

/** |W x - up down x| / |W x| over inputs that the factors have not seen. */
function measure(i, { up, down, rank }) {
  const unseen = inputsOf(layers[i], 40 + i);
  const matrix = (values, shape) => tf.tensor2d(Float32Array.from(values), shape);
  const whole = tf.matMul(unseen, layers[i].weight, false, true);
  const latent = tf.matMul(unseen, matrix(down, [rank, dIn]), false, true);
  const made = tf.matMul(latent, matrix(up, [dOut, rank]), false, true);
  return tf.div(tf.norm(tf.sub(whole, made)), tf.norm(whole)).arraySync();
}

// 4. The factors, and those of the weights alone, as a plain SVD has them: unseen inputs tell.
for (const [name, chosen, moments] of [
  ['weights alone', layers.map(() => even), false],
  ['by activations', layers.map(() => even), true],
  ['ranks by layer', ranks, true],
]) {
  const rows = chosen.map((rank, i) => {
    const { moment, ...weight } = inputs[i];
    const factors = factorize(la, { ...weight, ...(moments && { moment }), rank });
    return { told: factors.relativeError, measured: measure(i, factors) };
  });
  const all = (pick) => rows.map((row) => pick(row).toFixed(3)).join(' ');
  const mean = Math.sqrt(rows.reduce((sum, { measured }) => sum + measured ** 2, 0) / rows.length);
  const told = moments ? `, predicted ${all((row) => row.told)}` : '';
  console.log(`${name}: error ${mean.toFixed(3)}, by layer ${all((row) => row.measured)}${told}`);
}
