/**
 * CPU time of a product with a weight [2048, 2048] that is dense or packed, by turns, on the backends of
 * a processor. `node bench/weights/products.js [--backends wasm,tensorflow] [--rounds 10]`; see ../README.md.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { denseProjection, packProjection } from '@mha2mla/mla-runtime';
import * as tf from '@tensorflow/tfjs-core';
import { useBackend } from 'mha2mla/node';

const SIZE = 2048;
const { values } = parseArgs({
  options: {
    backends: { type: 'string', default: 'wasm,tensorflow' },
    rounds: { type: 'string', default: '10' },
  },
});

const rows = [];
for (const backend of values.backends.split(',')) {
  await useBackend(backend);
  const weight = tf.randomNormal([SIZE, SIZE], 0, 1, 'float32', 1);
  const maps = { f32: denseProjection(weight) };
  for (const format of ['f16', 'int8', 'int4']) {
    const copy = denseProjection(tf.clone(weight));
    maps[format] = await packProjection(copy, { format, groupSize: 32 });
  }
  for (const tokens of [1, 64, 512]) {
    const x = tf.randomNormal([tokens, SIZE], 0, 1, 'float32', 2);
    const times = Object.fromEntries(Object.keys(maps).map((format) => [format, []]));
    for (let round = 0; round <= Number(values.rounds); round++) {
      for (const [format, map] of Object.entries(maps)) {
        const began = process.cpuUsage();
        const y = map.apply(x);
        await y.data();
        const { user, system } = process.cpuUsage(began);
        y.dispose();
        if (round > 0) times[format].push((user + system) / 1000); // the first warms up
      }
    }
    const ms = Object.fromEntries(Object.entries(times).map(([k, all]) => [k, Math.min(...all)]));
    rows.push({ backend, tokens, ms });
    const shown = Object.entries(ms).map(([format, time]) => `${format} ${time.toFixed(1)} ms`);
    console.log(`${backend}, ${tokens} tokens: ${shown.join(', ')}`);
    x.dispose();
  }
  for (const map of Object.values(maps)) map.dispose();
}
const result = { date: new Date().toISOString().slice(0, 10), cpu: cpus()[0].model, rows };
const file = new URL('../results/weights-products.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
process.exit(0); // tensorflow's threads hold it
