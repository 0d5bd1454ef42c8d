/**
 * What a conversion of a published model would take on 1, 8 and 64 machines, from the costs measured
 * by the other benches: `node bench/engine/plan.js [--model qwen2.5-vl-72b] [--samples 1000]
 * [--tokens 640] [--speed 1] [--gbits 10]`. Everything is printed with its arithmetic; nothing of it
 * was run.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'qwen2.5-vl-72b' },
    samples: { type: 'string', default: '1000' },
    tokens: { type: 'string', default: '640' },
    // How much faster a machine is than the two cores that the benches ran on.
    speed: { type: 'string', default: '1' },
    gbits: { type: 'string', default: '10' },
  },
});
const read = (name) =>
  JSON.parse(readFileSync(new URL(`../results/${name}.json`, import.meta.url), 'utf8'));
const best = (runs, field) => Math.min(...runs.map((run) => run[field]));

// Decoders, by their configs.
const MODELS = {
  'llava-next-8b': { layers: 32, hidden: 4096, heads: 32, keyHeads: 8, head: 128, inner: 14336 },
  'qwen2.5-vl-7b': { layers: 28, hidden: 3584, heads: 28, keyHeads: 4, head: 128, inner: 18944 },
  'qwen2.5-vl-72b': { layers: 80, hidden: 8192, heads: 64, keyHeads: 8, head: 128, inner: 29568 },
};
const model = MODELS[values.model];
if (!model) throw new RangeError(`plan: model must be one of ${Object.keys(MODELS).join(', ')}.`);
// LLaVA-NeXT's layer, which was measured.
const seen = { hidden: 4096, heads: 32, keyHeads: 8, head: 128, inner: 14336, tokens: 640 };
const weightsOf = ({ hidden, heads, keyHeads, head, inner }) =>
  2 * hidden * heads * head + 2 * hidden * keyHeads * head + 3 * hidden * inner;

const calibrate = read('calibrate').runs.tensorflow;
const speed = Number(values.speed);
const layerRate = (2 * weightsOf(seen) * seen.tokens * speed) / best(calibrate, 'forward');
const momentRate = (2 * seen.hidden ** 2 * seen.tokens * speed) / best(calibrate, 'moments');
// Vision's and text's factors of a layer, together.
const factored = read('factorise-llava-next');
const products = (dOut, dIn) => dOut * dIn * (dIn + dOut);
const factorSeconds =
  (best(factored.runs.exact, 'seconds') * products(2 * model.keyHeads * 112, model.hidden)) /
  products(factored.dOut, factored.dIn) /
  speed;
const queueSeconds = read('engine-queue').msAJob / 1000;

const batch = 16;
const shards = Math.ceil(Number(values.samples) / batch);
const tokens = batch * Number(values.tokens);
const link = (Number(values.gbits) * 1e9) / 8;
const hiddenBytes = 4 * tokens * model.hidden;
const seenBytes = 2 * 4 * model.hidden ** 2; // a moment of each modality
const layerBytes = 2 * weightsOf(model);
const forward = (2 * weightsOf(model) * tokens) / layerRate;
const moments = (2 * model.hidden ** 2 * tokens) / momentRate;

const GB = 1e9;
const hours = (seconds) => `${(seconds / 3600).toFixed(1)} h`;
console.log(`${shards} shards of ${batch} samples, ${tokens} tokens each; ${model.layers} layers.`);
console.log(
  `A shard and layer: forward ${forward.toFixed(0)} s (${(layerRate / 1e9).toFixed(0)} GFLOP/s), moments ${moments.toFixed(0)} s; factors of a layer ${factorSeconds.toFixed(0)} s.`,
);
console.log(
  `A shard's states ${(hiddenBytes / GB).toFixed(2)} GB, its statistics ${(seenBytes / GB).toFixed(2)} GB; a layer's weights ${(layerBytes / GB).toFixed(2)} GB.`,
);
const rows = [1, 8, 64].map((machines) => {
  const rounds = Math.ceil(shards / machines);
  // Each machine reads the layer, its shards' states twice, and writes their states and statistics.
  const moved = 2 * layerBytes + rounds * (3 * hiddenBytes + seenBytes);
  const shardSeconds = rounds * (2 * forward + moments);
  const gather = (shards * seenBytes) / link;
  const layer = shardSeconds + moved / link + gather + factorSeconds + 2 * shards * queueSeconds;
  return {
    machines,
    'whole run': hours(model.layers * layer),
    'of it samples': hours(model.layers * shardSeconds),
    'of it network': hours(model.layers * (moved / link + gather)),
    'of it factors': hours(model.layers * factorSeconds),
    'of it queue': hours(model.layers * 2 * shards * queueSeconds),
    'one link, gathering': `${(gather).toFixed(0)} s a layer`,
  };
});
console.table(rows);
const moved = model.layers * shards * (3 * hiddenBytes + 2 * seenBytes);
console.log(
  `Moved in all: ${(moved / 1e12).toFixed(1)} TB, and each machine reads the model twice.`,
);
const peak = 2 * shards * hiddenBytes + shards * seenBytes + 2 * layerBytes;
console.log(
  `Storage at the peak: ${(peak / GB).toFixed(0)} GB of contents, and the model and the result, ${((2 * model.layers * layerBytes) / GB).toFixed(0)} GB.`,
);
