/** The questions that are asked, and the sets that conversions are calibrated on. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseConversations } from 'mha2mla';
import { loadQuestions } from 'mha2mla/node';

export const MODELS = fileURLToPath(new URL('../../models', import.meta.url));
const SCENES = join(MODELS, 'scenes');

/** Pictures of a calibration set, one question about each. */
const CALIBRATION_PICTURES = 64;

/** The files that results depend on. */
export const DATA_FILES = ['ablation', 'calibration', 'heal'].map((name) =>
  join(SCENES, `${name}.jsonl`),
);

/**
 * Questions about each picture, in a list of their own.
 * @param {string} name of a file of `models/scenes`.
 * @returns {Promise<import('mha2mla').Question[][]>}
 */
async function byPicture(name) {
  const path = join(SCENES, `${name}.jsonl`);
  const conversations = parseConversations(await readFile(path, 'utf8'), name);
  const questions = await loadQuestions(path);
  const pictures = new Map();
  for (const [i, { images }] of conversations.entries()) {
    const key = images.join();
    pictures.set(key, [...(pictures.get(key) ?? []), questions[i]]);
  }
  return [...pictures.values()];
}

/** @param {number} [limit] most pictures. */
export async function askedQuestions(limit) {
  return (await byPicture('ablation')).slice(0, limit);
}

/** @param {number} [limit] most questions to train on. */
export async function healingQuestions(limit) {
  return loadQuestions(join(SCENES, 'heal.jsonl'), limit);
}

/**
 * One of three disjoint calibration sets: the one that the models come with, and two of the pictures
 * that healing would see.
 * @param {number} seed 0, 1 or 2.
 */
export async function calibrationSet(seed) {
  const start = Math.max(0, seed - 1) * CALIBRATION_PICTURES;
  const pictures = await byPicture(seed === 0 ? 'calibration' : 'heal');
  return pictures.slice(start, start + CALIBRATION_PICTURES).map(([first]) => first);
}
