/**
 * Finds the files of runs. A RUN is a folder that a conversion or a healing wrote, or a JSON file:
 * a result of `eval --json` or `bench --json`, or plots of an ablation. A file in the folder of a run belongs to it;
 * any other is a run of its own.
 */
import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CheckpointError, parseJson, quoteName } from '@mha2mla/checkpoint';
import { readWholeFile } from '../read-whole-file';
import { type JsonValue, jsonDocument, member, numberOf, optional } from './json-value';
import { readConversion } from './read-conversion';
import { readCost, readEvaluation, readHeldOut, readLosses, readPlots } from './read-measures';
import type { RunData } from './run-data';

/** A report of 126 layers of 128 heads with the scores of all pairs has some 20 MB. */
const MAX_BYTES = 32 * 2 ** 20;
/** What a folder may hold. */
const NAMES = ['report.json', 'heal.json', 'eval.json'];
/** What says more about those. */
const COST = 'cost.json';
const MAX_RUNS = 64;

/**
 * @param paths folders and JSON files.
 * @throws RangeError, or CheckpointError, naming the file and what is wrong in it.
 */
export async function loadRuns(paths: readonly string[]): Promise<RunData[]> {
  if (paths.length > MAX_RUNS) {
    throw new RangeError(
      `report: RUN must be given at most ${MAX_RUNS} times, got ${paths.length}.`,
    );
  }
  const found = await Promise.all(paths.map(filesOf));
  const folders = new Set(found.flatMap(({ folder }) => folder ?? []));
  const runs = new Map<string, RunData>();
  for (const file of found.flatMap(({ files }) => files)) {
    const folder = dirname(resolve(file));
    const isPart = folders.has(folder) || [...NAMES, COST].includes(basename(file));
    const [key, name] = isPart ? [folder, basename(folder)] : [file, basename(file, '.json')];
    const run = runs.get(key) ?? { name: name || key, evaluations: [], plots: [] };
    await addFile(run, file);
    runs.set(key, run);
  }
  return [...runs.values()];
}

/** The files of a folder that a report is made of, or the one file. */
async function filesOf(path: string): Promise<{ folder?: string; files: string[] }> {
  const kind = await stat(path).catch(() => undefined);
  if (!kind) {
    throw new RangeError(
      `report: RUN must be a folder or a JSON file, got nothing at ${quoteName(path)}.`,
    );
  }
  if (!kind.isDirectory()) return { files: [path] };
  const present = await Promise.all(
    NAMES.map(async (name) => ((await isFile(join(path, name))) ? [join(path, name)] : [])),
  );
  const files = present.flat();
  if (files.length > 0) {
    const cost = join(path, COST);
    return { folder: resolve(path), files: (await isFile(cost)) ? [...files, cost] : files };
  }
  throw new RangeError(
    `report: RUN must hold ${NAMES.join(', ')}, got none of them in ${quoteName(path)}. Was it converted by mha2mla?`,
  );
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

/** What a document is, its keys say. */
async function addFile(run: RunData, path: string): Promise<void> {
  const document = await readDocument(path);
  const has = (key: string) => member(document, key) !== undefined;
  if (has('layers') && has('cacheBytesPerToken')) run.conversion = readConversion(document);
  else if (has('losses')) {
    run.losses = readLosses(document);
    run.heldOut = readHeldOut(document);
    run.trainableShare = optional(member(document, 'trainableShare'), (share) =>
      numberOf(share, 0, 1),
    );
  } else if (has('accuracy'))
    run.evaluations.push(readEvaluation(document, basename(path, '.json')));
  else if (has('peakMemoryBytes')) run.cost = readCost(document);
  else if (has('plots')) run.plots.push(...readPlots(document));
  else {
    throw new RangeError(
      `report: ${document.place} must be a report.json, a heal.json, a result of eval --json, of bench --json or an ablation with plots, got none of them.`,
    );
  }
}

async function readDocument(path: string): Promise<JsonValue> {
  const bytes = await readWholeFile(path, { maxBytes: MAX_BYTES });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new CheckpointError('not-utf8', `report: ${quoteName(path)} must be UTF-8 text.`, {
      cause,
    });
  }
  return jsonDocument(parseJson(text, path), path);
}
