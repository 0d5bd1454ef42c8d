/**
 * How fast vectors go into a quantized cache and come back, by backend, method and width:
 * `node bench/kv-quant/run.js [--backends tensorflow,wasm,webgpu] [--rounds 9]`; see ../README.md.
 * On webgpu, whose adapter may be software, dispatches and bytes are counted instead.
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bytesPerToken, QuantizedCache } from '@mha2mla/kv-quant';
import * as tf from '@tensorflow/tfjs-core';
import { markdownTable } from 'markdown-table';
import { useBackend } from 'mha2mla/node';

/** A sealed block of a 7B model's latents. */
const [TOKENS, CHANNELS] = [256, 512];
/** Seconds of the processor a measured run takes at least: its clock counts microseconds. */
const LEAST = 0.01;

const token = (method, bits) => [`${method} ${bits}`, { method, bits }];
const all = (value) => new Float32Array(CHANNELS).fill(value);
const SPECS = Object.fromEntries([
  ...[8, 4, 3, 2].map((bits) => token('affine', bits)),
  ...[8, 4, 3, 2].map((bits) => [
    `affine ${bits}, tokens`,
    { method: 'affine', bits, axis: 'channel' },
  ]),
  ...[8, 4, 3, 2].map((bits) => token('hqq', bits)),
  ...[4, 3, 2].map((bits) => token('lloyd-max', bits)),
  ['lloyd-max 4, not turned', { method: 'lloyd-max', bits: 4, rotation: 'none' }],
  ['int8', { method: 'int8' }],
  ['half', { method: 'half' }],
  [
    'static 4',
    {
      ...{ method: 'static', bands: [{ bits: 4, channels: CHANNELS }] },
      ...{ scales: all(0.4), zeros: all(-3) },
    },
  ],
]);

const { values } = parseArgs({
  options: {
    backends: { type: 'string', default: 'tensorflow,wasm' },
    rounds: { type: 'string', default: '9' },
  },
});
const results = [];
for (const name of values.backends.split(',')) {
  const backend = await useBackend(name);
  const measure = backend === 'webgpu' ? count : time;
  const x = tf.randomNormal([1, 1, TOKENS, CHANNELS], 0, 1, 'float32', 1);
  for (const [method, spec] of Object.entries(SPECS)) {
    const filled = new QuantizedCache({ spec });
    filled.append(x);
    const encode = () => {
      const cache = new QuantizedCache({ spec });
      cache.append(x);
      cache.dispose();
    };
    const decode = () => tf.dispose(filled.read());
    const row = { backend, method, bytes: bytesPerToken(spec, CHANNELS) };
    results.push({ ...row, encode: await measure(encode), decode: await measure(decode) });
    filled.dispose();
  }
  x.dispose();
}
const machine = { cpu: cpus()[0].model, cores: availableParallelism(), node: process.version };
const lines = results.map((row) => JSON.stringify(row));
await writeFile(
  fileURLToPath(new URL('../results/kv-quant.json', import.meta.url)),
  `{\n"machine": ${JSON.stringify(machine)},\n"tokens": ${TOKENS}, "channels": ${CHANNELS},\n"results": [\n${lines.join(',\n')}\n]\n}\n`,
);
console.log(tableOf(results));
process.exit(); // an open device would keep the process

/** @returns the best rate, of float32 vectors. */
async function time(run) {
  const seconds = () => {
    const started = process.cpuUsage();
    let calls = 0;
    for (;;) {
      run();
      calls++;
      const { user, system } = process.cpuUsage(started);
      const used = (user + system) / 1e6;
      if (used >= LEAST) return used / calls;
    }
  };
  const best = Math.min(...Array.from({ length: 1 + Number(values.rounds) }, seconds));
  return {
    tokensPerSecond: Math.round(TOKENS / best),
    megabytesPerSecond: Number(((4 * TOKENS * CHANNELS) / best / 1e6).toFixed(1)),
  };
}

/** @returns programs that one call runs, and the bytes that they bind. */
async function count(run) {
  const backend = tf.backend();
  const dispatch = backend.runWebGPUProgram;
  const counted = { dispatches: 0, boundBytes: 0 };
  const bytesOf = ({ shape }) => 4 * shape.reduce((product, size) => product * size, 1);
  backend.runWebGPUProgram = (program, inputs, ...rest) => {
    const output = dispatch.call(backend, program, inputs, ...rest);
    counted.dispatches += 1;
    counted.boundBytes += [...inputs, output].reduce((sum, tensor) => sum + bytesOf(tensor), 0);
    return output;
  };
  run();
  delete backend.runWebGPUProgram;
  return counted;
}

/** A row a method, two columns a backend. */
function tableOf(rows) {
  const backends = [...new Set(rows.map(({ backend }) => backend))];
  const columns = backends.flatMap((backend) => [
    [backend, 'encode'],
    [backend, 'decode'],
  ]);
  return markdownTable([
    ['MB/s', 'bytes a token', ...columns.map(([backend, way]) => `${backend}, ${way}`)],
    ...Object.keys(SPECS).map((method) => {
      const own = rows.filter((row) => row.method === method);
      const cells = columns.map(([backend, way]) => {
        return textOf(own.find((row) => row.backend === backend)?.[way]);
      });
      return [method, own[0].bytes, ...cells];
    }),
  ]);
}

function textOf(figures) {
  if (figures === undefined) return '';
  const { dispatches, boundBytes, megabytesPerSecond } = figures;
  if (megabytesPerSecond) return megabytesPerSecond.toFixed(0);
  return `${dispatches}, ${(boundBytes / 2 ** 20).toFixed(2)} MiB`;
}
