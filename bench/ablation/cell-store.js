/** Measured cells as files, named after everything that they depend on: what is there is not done again. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DATA_FILES, MODELS } from './questions.js';

export class CellStore {
  /** @param {string} folder @param {number} [pictures] most pictures that are asked about. */
  static async open(folder, pictures) {
    const store = new CellStore();
    Object.assign(store, { folder, digests: new Map(), pictures });
    store.data = await Promise.all(DATA_FILES.map(fileDigest));
    return store;
  }

  /** Where a cell's result is kept. The code is no part of the name: empty the folder after changing it. */
  async pathOf({ cache, ...cell }) {
    const inputs = await this.#inputsOf(cell);
    return join(
      this.folder,
      `${digestOf(JSON.stringify(cache ? [...inputs, cache] : inputs))}.json`,
    );
  }

  /** Where the healed model of a cell is kept, whatever stores its results: healing takes minutes. */
  async healedPathOf({ cache: _, ...cell }) {
    const inputs = await this.#inputsOf(cell);
    return join(this.folder, '..', 'healed', digestOf(JSON.stringify(inputs)));
  }

  async #inputsOf({ family, options, ropeDim, rank, seed, heal }) {
    const { digests, data, pictures } = this;
    if (!digests.has(family)) {
      digests.set(family, await fileDigest(join(MODELS, family, 'model.safetensors')));
    }
    const sorted = Object.fromEntries(Object.entries(options ?? {}).sort());
    const inputs = [digests.get(family), data, pictures, sorted, ropeDim, rank, seed];
    if (heal) inputs.push(Object.fromEntries(Object.entries(heal).sort()));
    return inputs;
  }

  /** @returns the result, or `undefined` where the cell was not measured. */
  async read(cell) {
    try {
      return JSON.parse(await readFile(await this.pathOf(cell), 'utf8'));
    } catch (error) {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Whole or not at all, whenever the run is killed. */
  async write(cell, result) {
    const path = await this.pathOf(cell);
    await mkdir(this.folder, { recursive: true });
    await writeFile(`${path}.part`, JSON.stringify(result));
    await rename(`${path}.part`, path);
  }
}

async function fileDigest(path) {
  return digestOf(await readFile(path));
}

function digestOf(bytes) {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 32);
}
