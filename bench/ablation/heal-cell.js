/** How a cell is converted and healed, by the recipe that it names. */
import { memoryStore } from '@mha2mla/checkpoint';
import { loadDecoder } from '@mha2mla/mla-runtime';
import { openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import {
  convertModel,
  healLayerwise,
  healModel,
  healProgressive,
  memoryOutput,
  planHealing,
  writeHealed,
} from 'mha2mla';
import { FAMILIES } from 'mha2mla/node';
import { healingQuestions } from './questions.js';

/**
 * @typedef {{ original: object, processor: object, calibration: object[] }} Setting
 *   the model that is converted, and what its conversion is calibrated by.
 * @typedef {{ source: object, measured: object, files: Map<string, Uint8Array> }} Made a model in
 *   memory, and what it took.
 */

/**
 * What a cell converts. For healing that narrows the latents, with rank `from`.
 * @param {Setting} setting
 * @param {import('./cells.js').Cell} cell
 * @returns {Promise<Made>}
 */
export function convertCell(setting, cell) {
  const { options, ropeDim, rank, heal } = cell;
  const { headDim } = setting.original.config.decoder;
  const size =
    options.allocation === 'measured'
      ? { kvBudget: (ropeDim + rank) / (2 * headDim) }
      : { rank: heal?.from ?? rank };
  return convert(setting, setting.original, { ...options, ...size, ropeDim });
}

/**
 * What a cell converts and heals, on the first `questions` of the healing set. Of two stages, each
 * has half of the updates.
 * @param {Setting} setting
 * @param {import('./cells.js').Cell} cell
 * @returns {Promise<Made>}
 */
export async function healCell(setting, cell) {
  const { options, ropeDim, heal, seed } = cell;
  if (!heal.stages) return train(setting, await convertCell(setting, cell), cell);
  const { stages, steps = 250, ...rest } = heal;
  const stage = { ...cell, heal: { ...rest, steps: steps / stages } };
  const partial = { ...options, ropeDim, factor: 'none' };
  const rotated = await convert(setting, setting.original, partial);
  const first = await train(setting, rotated, stage);
  // Pairs are the first stage's.
  const { strategy: _, unrotate: __, ...factors } = options;
  const narrowed = await convert(setting, first.source, { ...factors, rank: cell.rank });
  const second = await train(setting, narrowed, { ...stage, seed: seed + 1000 });
  const healSeconds = first.measured.healSeconds + second.measured.healSeconds;
  const { share } = narrowed.measured;
  return { ...second, measured: { ...second.measured, steps, healSeconds, share } };
}

async function convert({ calibration }, source, options) {
  const started = performance.now();
  const output = memoryOutput();
  const report = await convertModel(source, output, {
    ...options,
    dtype: 'F32', // so that only the method tells cells apart
    calibration,
  });
  const bytes = report.cacheBytesPerToken;
  return {
    files: output.files,
    source: await openVlm(memoryStore(output.files), { families: FAMILIES }),
    measured: {
      share: bytes.converted / bytes.original,
      factorError: factorError(report),
      convertSeconds: (performance.now() - started) / 1000,
    },
  };
}

async function train({ original, processor }, { source, measured }, { heal, ropeDim, rank, seed }) {
  const { questions: limit, from, ...options } = heal;
  const questions = await healingQuestions(limit);
  const plan = planHealing({ ...options, ...(from && { rank }), seed });
  const started = performance.now();
  const run = { source, original, processor, questions, plan };
  const { report, merged, narrowed } =
    plan.recipe === 'layerwise'
      ? await healLayerwise({ ...run, output: memoryOutput() })
      : await trainWhole(run);
  const healSeconds = (performance.now() - started) / 1000;
  const output = memoryOutput();
  await writeHealed(source, output, merged, { ...report, options: plan }, { narrowed });
  const share = from ? (ropeDim + rank) / (2 * original.config.decoder.headDim) : measured.share;
  const { steps, trainableShare, loss } = report;
  return {
    files: output.files,
    source: await openVlm(memoryStore(output.files), { families: FAMILIES }),
    measured: { ...measured, share, healSeconds, steps, trainableShare, loss },
  };
}

/** All layers at once: both models are loaded. */
async function trainWhole({ original, ...run }) {
  const student = await VisionLanguageModel.load(run.source);
  const teacher = await loadDecoder(original.config.decoder, original.weights);
  try {
    return run.plan.recipe === 'progressive'
      ? await healProgressive({ ...run, student, teacher, output: memoryOutput() })
      : await healModel({ ...run, student, teacher });
  } finally {
    student.dispose();
    teacher.dispose();
  }
}

/** Means over the layers of what the factors say that they lose of what they factor. */
function factorError({ layers }) {
  const mean = (modality) =>
    layers.reduce((sum, layer) => sum + (layer[modality]?.relativeError ?? 0), 0) / layers.length;
  return { vision: mean('vision'), text: mean('text') };
}
