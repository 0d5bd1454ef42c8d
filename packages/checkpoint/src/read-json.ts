/** JSON files of a checkpoint folder: bounded, strict UTF-8, equal keys refused, depth limited. */
import type { FileStore } from './byte-source';
import { type ReadTextOptions, readText } from './read-text';
import { parseJson } from './strict-json';

/**
 * Reads a JSON file. The result holds what the file's author wrote: never spread it into an object
 * of your own (`__proto__` is a legal key).
 * @throws CheckpointError `missing-file`, `too-large`, `not-utf8`, `not-json`, `duplicate-key`,
 *   `too-deep`
 */
export async function readJson(
  store: FileStore,
  name: string,
  options: ReadTextOptions = {},
): Promise<unknown> {
  return parseJson(await readText(store, name, options), name);
}
