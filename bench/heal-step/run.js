/**
 * Time of an optimiser step, here and in PyTorch with HF PEFT: the same model, LoRA on the attention
 * of its language model, the same batch of questions about pictures, two threads each, by turns.
 * `node bench/heal-step/run.js [MODEL…] [--python python3] [--rounds 3]`; see ../README.md.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeSafetensors } from '@mha2mla/checkpoint';
import { memoryOutput } from 'mha2mla';
import { preparedBatch } from './batch.js';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: 'string', default: 'python3' },
    rounds: { type: 'string', default: '3' },
    arms: { type: 'string', default: 'heal tensorflow,heal wasm,loop tensorflow,loop wasm' },
  },
});
const models = positionals.length > 0 ? positionals : ['llava', 'qwen2_5_vl'];
const folder = mkdtempSync(join(tmpdir(), 'mha2mla-heal-step-'));
const results = {};
try {
  for (const model of models) {
    const file = join(folder, `${model}.safetensors`);
    writeFileSync(file, await inputsOf(model));
    const arms = { pytorch: [] };
    for (const arm of values.arms.split(',')) arms[arm] = [];
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const arm of Object.keys(arms)) arms[arm].push(timeOf(arm, model, file));
    }
    results[model] = arms;
  }
} finally {
  rmSync(folder, { recursive: true });
}
const machine = { cpu: cpus()[0].model, cores: availableParallelism(), node: process.version };
writeFileSync(
  join(HERE, '../results/heal-step.json'),
  `${JSON.stringify({ machine, results }, null, 2)}\n`,
);
console.log('| model | arm | ms a step | of PyTorch | loss |\n| --- | --- | --- | --- | --- |');
for (const [model, arms] of Object.entries(results)) {
  const best = (arm) => Math.min(...arms[arm].map(({ milliseconds }) => milliseconds));
  for (const arm of Object.keys(arms)) {
    const { loss } = arms[arm][0];
    const share = (best(arm) / best('pytorch')).toFixed(2);
    console.log(`| ${model} | ${arm} | ${best(arm).toFixed(0)} | ${share} | ${loss.toFixed(4)} |`);
  }
}

/** The batch as PyTorch reads it. */
async function inputsOf(model) {
  const { packed, close } = await preparedBatch(model);
  await close();
  const { inputs, predicting, labels } = packed;
  const { batch, length, inputIds, attentionMask, pixelValues, imageGridThw } = inputs;
  const entries = [
    { name: 'input_ids', dtype: 'I32', shape: [batch, length], values: inputIds },
    { name: 'attention_mask', dtype: 'I32', shape: [batch, length], values: attentionMask },
    { name: 'pixel_values', dtype: 'F32', shape: pixelValues.shape, values: pixelValues.data },
    { name: 'predicting', dtype: 'I32', shape: [predicting.length], values: predicting },
    { name: 'labels', dtype: 'I32', shape: [labels.length], values: labels },
    ...(imageGridThw
      ? [
          {
            name: 'image_grid_thw',
            dtype: 'I32',
            shape: [imageGridThw.length / 3, 3],
            values: imageGridThw,
          },
        ]
      : []),
  ];
  const output = memoryOutput();
  await output.write('batch', (sink) => writeSafetensors(sink, entries, (entry) => entry.values));
  return output.files.get('batch');
}

/** `heal` as the command line heals, `loop` as a loop over the packages has it. */
function scriptOf(arm, model) {
  const [kind, backend] = arm.split(' ');
  return [join(HERE, kind === 'heal' ? 'heal.js' : 'step.js'), model, backend];
}

/** A process of its own, so that no arm warms another's caches. */
function timeOf(arm, model, file) {
  const [command, argv] =
    arm === 'pytorch'
      ? [values.python, [join(HERE, 'step.py'), join(HERE, '../../models', model), file]]
      : [process.execPath, scriptOf(arm, model)];
  const { status, stdout, stderr } = spawnSync(command, argv, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`heal-step: ${arm} on ${model} failed: ${stderr}`);
  const run = JSON.parse(stdout.trim().split('\n').at(-1));
  console.error(`${model} ${arm}: ${run.milliseconds.toFixed(0)} ms, loss ${run.loss}`);
  return run;
}
