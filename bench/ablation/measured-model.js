/**
 * A small model, the questions as it sees them, and what the original answers: made once, shared by
 * all conversions, since none of them touches the vision tower or the embeddings.
 */

import { join } from 'node:path';
import { memoryStore } from '@mha2mla/checkpoint';
import { loadDecoder } from '@mha2mla/mla-runtime';
import { openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import {
  calibrationBatches,
  convertModel,
  embedReferences,
  healModel,
  healProgressive,
  memoryOutput,
  packReferences,
  planHealing,
  scoreReferences,
  writeHealed,
} from 'mha2mla';
import { FAMILIES, openModelFolder } from 'mha2mla/node';
import { askedQuestions, calibrationSet, healingQuestions, MODELS } from './questions.js';

/** Pictures that run together: a few megabytes of scores. */
const ROWS = 10;

export class MeasuredModel {
  /** @type {Map<number, Promise<object[]>>} */
  #calibrations = new Map();

  /**
   * @param {string} family
   * @param {number} [pictures] most pictures that are asked about.
   */
  static async load(family, pictures) {
    const { source, close } = await openModelFolder(join(MODELS, family));
    const processor = await source.family.loadProcessor(source.config, source.store);
    const model = await VisionLanguageModel.load(source);
    const asked = await askedQuestions(pictures);
    const batches = [];
    for (let start = 0; start < asked.length; start += ROWS) {
      const packed = await packReferences(source, processor, asked.slice(start, start + ROWS));
      batches.push(embedReferences(model, packed));
    }
    const measured = new MeasuredModel();
    Object.assign(measured, { source, close, processor, asked, batches });
    const { scores, outputs } = await measured.#score(model.decoder);
    measured.outputs = outputs;
    measured.original = measured.#summarise(scores);
    model.dispose();
    return measured;
  }

  /**
   * Convert, heal where the cell says how, and ask. What healing narrows is converted with rank `from`.
   * @param {import('./cells.js').Cell} cell
   */
  async measure({ options, ropeDim, rank, seed, heal }) {
    const started = performance.now();
    const output = memoryOutput();
    const { headDim } = this.source.config.decoder;
    const size =
      options.allocation === 'measured'
        ? { kvBudget: (ropeDim + rank) / (2 * headDim) }
        : { rank: heal?.from ?? rank };
    const report = await convertModel(this.source, output, {
      ...options,
      ...size,
      ropeDim,
      dtype: 'F32', // so that only the method tells cells apart
      calibration: await this.#calibration(seed),
    });
    const converted = await openVlm(memoryStore(output.files), { families: FAMILIES });
    const convertSeconds = (performance.now() - started) / 1000;
    const healed = heal && (await this.#heal(converted, heal, { rank, seed }));
    const { config, weights } = healed?.source ?? converted;
    const decoder = await loadDecoder(config.decoder, weights);
    const { scores, outputs } = await this.#score(decoder);
    decoder.dispose();
    const bytes = report.cacheBytesPerToken;
    return {
      share: heal?.from ? (ropeDim + rank) / (2 * headDim) : bytes.converted / bytes.original,
      ...this.#summarise(scores),
      outputError: relativeError(outputs, this.outputs),
      factorError: factorError(report),
      convertSeconds,
      ...healed?.measured,
      seconds: (performance.now() - started) / 1000,
    };
  }

  async dispose() {
    for (const batch of this.batches) batch.dispose();
    await this.close();
  }

  /** Train on the first `questions` of the healing set. */
  async #heal(source, { questions: limit, from, ...options }, { rank, seed }) {
    const student = await VisionLanguageModel.load(source);
    const teacher = await loadDecoder(this.source.config.decoder, this.source.weights);
    const questions = await healingQuestions(limit);
    const plan = planHealing({ ...options, ...(from && { rank }), seed });
    const { processor } = this;
    const started = performance.now();
    const run = { student, source, teacher, processor, questions, plan };
    const { report, merged, narrowed } = from
      ? await healProgressive({ ...run, output: memoryOutput() })
      : await healModel(run);
    const healSeconds = (performance.now() - started) / 1000;
    student.dispose();
    teacher.dispose();
    const output = memoryOutput();
    await writeHealed(source, output, merged, { ...report, options: plan }, narrowed);
    const { steps, trainableShare, loss } = report;
    return {
      source: await openVlm(memoryStore(output.files), { families: FAMILIES }),
      measured: { healSeconds, steps, trainableShare, loss },
    };
  }

  #calibration(seed) {
    if (!this.#calibrations.has(seed)) {
      const prepare = async () => calibrationBatches(this.processor, await calibrationSet(seed));
      this.#calibrations.set(seed, prepare());
    }
    return this.#calibrations.get(seed);
  }

  /** Scores of all questions, and what the head reads at each answer token. */
  async #score(decoder) {
    const [scores, outputs] = [[], []];
    for (const batch of this.batches) {
      const onOutput = (output) => outputs.push(output.dataSync());
      scores.push(...(await scoreReferences(decoder, batch, { onOutput })));
    }
    return { scores, outputs };
  }

  /** By picture, so that intervals can be taken by picture. */
  #summarise(scores) {
    const rest = scores.values();
    const pictures = this.asked.map((questions) => {
      const own = questions.map(() => rest.next().value);
      return {
        exact: own.map(({ exact }) => (exact ? '1' : '0')).join(''),
        nll: own.reduce((sum, { nll }) => sum + nll, 0),
        tokens: own.reduce((sum, { tokens }) => sum + tokens, 0),
      };
    });
    const total = (pick) => scores.reduce((sum, score) => sum + pick(score), 0);
    return {
      accuracy: total(({ exact }) => Number(exact)) / scores.length,
      nll: total(({ nll }) => nll) / total(({ tokens }) => tokens),
      pictures,
    };
  }
}

/** |a - b|² / |b|². */
function relativeError(actual, expected) {
  let [error, energy] = [0, 0];
  for (const [i, values] of expected.entries()) {
    for (const [j, value] of values.entries()) {
      error += (actual[i][j] - value) ** 2;
      energy += value ** 2;
    }
  }
  return error / energy;
}

/** Means over the layers of what the factors say that they lose of what they factor. */
function factorError({ layers }) {
  const mean = (modality) =>
    layers.reduce((sum, layer) => sum + (layer[modality]?.relativeError ?? 0), 0) / layers.length;
  return { vision: mean('vision'), text: mean('text') };
}
