/**
 * One arm in a process of its own: `node arm.js SHAPE ARM BACKEND`, of onnxruntime
 * its folder and threads. Reads a request a line,
 * `{ kind: 'decode' | 'core' | 'prefill', context, steps }`, and answers with a line: milliseconds of
 * the wall and of the processor of each step, and the first outputs.
 */
import { createInterface } from 'node:readline';
import * as tf from '@tensorflow/tfjs-core';
import { useBackend } from 'mha2mla/node';
import { openNaiveArm } from './naive-arm.js';
import { openOnnxArm } from './onnx-arm.js';
import { openRuntimeArm } from './runtime-arm.js';
import { SHAPES } from './shapes.js';

const [shapeName, armName, place, threads] = process.argv.slice(2);
const arm = await openArm(SHAPES[shapeName], armName.split(' '));
process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(await answer(request))}\n`);
}
process.exit();

async function openArm(shape, [name, argument]) {
  if (name === 'onnxruntime') return openOnnxArm(shape, place, Number(threads));
  await useBackend(place);
  if (name === 'naive') return openNaiveArm(shape);
  return openRuntimeArm(shape, { original: 0, joint: 1, groups: Number(argument) }[name]);
}

async function answer({ kind, context, steps }) {
  const result = { wall: [], cpu: [] };
  try {
    if (kind !== 'prefill') arm.fill(context);
    for (let step = 0; step < steps; step++) {
      const cpu = process.cpuUsage();
      const started = performance.now();
      const output = await arm[kind](context);
      const values = output.data ? await output.data() : output;
      result.wall.push(performance.now() - started);
      const { user, system } = process.cpuUsage(cpu);
      result.cpu.push((user + system) / 1000);
      result.output ??= [...values.slice(0, 8)];
      if (output.data) tf.dispose(output);
    }
  } catch (error) {
    return { error: String(error.message ?? error).split('\n')[0] };
  } finally {
    arm.rewind?.();
  }
  return result;
}
