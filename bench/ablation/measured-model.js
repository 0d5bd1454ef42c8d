/**
 * A small model, the questions as it sees them, and what the original answers: made once, shared by
 * all conversions, since none of them touches the vision tower or the embeddings.
 */

import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { memoryStore } from '@mha2mla/checkpoint';
import {
  cacheBytesPerToken,
  fitsLatents,
  loadDecoder,
  PADDING,
  TEXT,
  VISION,
} from '@mha2mla/mla-runtime';
import { openVlm, VisionLanguageModel } from '@mha2mla/vlm-adapters';
import {
  calibrationBatches,
  embedReferences,
  fitCache,
  packReferences,
  scoreOverCache,
  scoreReferences,
} from 'mha2mla';
import { FAMILIES, openModelFolder } from 'mha2mla/node';
import { convertCell, healCell } from './heal-cell.js';
import { askedQuestions, calibrationSet, MODELS } from './questions.js';

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
   * Convert, heal where the cell says how, and ask: exactly, or over a cache in the form that the
   * cell says.
   * @param {import('./cells.js').Cell} cell
   * @param {string} healedPath where the healed model of the cell is, or will be kept.
   */
  async measure(cell, healedPath) {
    const started = performance.now();
    const { source, measured } = await this.#modelOf(cell, healedPath);
    const decoder = await loadDecoder(source.config.decoder, source.weights);
    const asked = cell.cache
      ? await this.#askOverCache(source, decoder, await this.#fitted(source, cell))
      : await this.#ask(decoder);
    decoder.dispose();
    return { ...measured, ...asked, seconds: (performance.now() - started) / 1000 };
  }

  /** The original, or what the cell converts and heals. */
  async #modelOf(cell, healedPath) {
    if (!cell.options) return { source: this.source, measured: { share: 1 } };
    const { source: original, processor } = this;
    const setting = { original, processor, calibration: await this.#calibration(cell.seed) };
    if (!cell.heal) return convertCell(setting, cell);
    const kept = await readModel(healedPath);
    if (kept) return kept;
    const healed = await healCell(setting, cell);
    await keepModel(healedPath, healed);
    return healed;
  }

  /** The form of a cell's cache, scales of latents fitted to the model that is asked. */
  async #fitted(source, { cache, seed }) {
    if (!fitsLatents(cache)) return cache;
    return fitCache(source, await this.#calibration(seed), { cache });
  }

  async #ask(decoder) {
    const { scores, outputs } = await this.#score(decoder);
    return { ...this.#summarise(scores), outputError: relativeError(outputs, this.outputs) };
  }

  /** Ask a model that was converted from this one, over its cache as it is stored. */
  async askOverCache(source) {
    const decoder = await loadDecoder(source.config.decoder, source.weights);
    const asked = await this.#askOverCache(source, decoder, source.cache);
    decoder.dispose();
    return asked;
  }

  async #askOverCache({ config, weights }, decoder, cache) {
    const scores = [];
    let allocated = 0;
    for (const batch of this.batches) {
      const asked = await scoreOverCache({ config, decoder }, batch, cache);
      scores.push(...asked.scores);
      allocated += asked.allocatedBytes;
    }
    const original = cacheBytesPerToken(this.source.config.decoder, this.source.weights);
    return {
      ...this.#summarise(scores),
      bytesPerToken: this.#mean(cacheBytesPerToken(config.decoder, weights, cache)),
      originalBytesPerToken: this.#mean(original),
      heldBytesPerToken: allocated / this.#tokens(),
    };
  }

  async dispose() {
    for (const batch of this.batches) batch.dispose();
    await this.close();
  }

  /** Of a value a vision token and a text token, as the pictures' prompts have them. */
  #mean({ vision, text }) {
    const [v, t] = [this.#tokens(VISION), this.#tokens(TEXT)];
    return (v * vision + t * text) / (v + t);
  }

  /** Of the pictures' prompts, of a kind or all. */
  #tokens(kind) {
    return this.batches.reduce((sum, { step, branches }) => {
      const isOwn = (own, i) => branches[i] === 0 && (kind ? own === kind : own !== PADDING);
      return sum + step.layout.kinds.filter(isOwn).length;
    }, 0);
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

/** What was measured of a healed model, beside its files. */
const MEASURED = 'measured.json';

async function readModel(folder) {
  let names;
  try {
    names = await readdir(folder);
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
  const files = new Map();
  for (const name of names) files.set(name, await readFile(join(folder, name)));
  const measured = JSON.parse(files.get(MEASURED));
  files.delete(MEASURED);
  return { source: await openVlm(memoryStore(files), { families: FAMILIES }), measured };
}

/** Whole or not at all, whenever the run is killed. */
async function keepModel(folder, { files, measured }) {
  const part = `${folder}.part`;
  await mkdir(part, { recursive: true });
  for (const [name, bytes] of files) await writeFile(join(part, name), bytes);
  await writeFile(join(part, MEASURED), JSON.stringify(measured));
  await rename(part, folder);
}
