/** Checks that need no training to fail: what is healed, by what, on what, and where it will go. */
import type { Decoder } from '@mha2mla/mla-runtime';
import type { VlmSource } from '@mha2mla/vlm-adapters';

/**
 * @throws RangeError when the teacher has other layers, widths or words than the student, or there
 *   is no question.
 */
export function assertHealable(student: Decoder, teacher: Decoder, questions: number): void {
  for (const key of ['numHiddenLayers', 'hiddenSize', 'vocabSize'] as const) {
    const [own, original] = [student.config[key], teacher.config[key]];
    if (own === original) continue;
    throw new RangeError(
      `healModel: student and teacher must have one ${key}, got ${own} and ${original}. The teacher is the model that was converted.`,
    );
  }
  if (questions === 0) throw new RangeError('healModel: questions must not be empty, got none.');
}

/** Most names listed in an error: enough to see the pattern. */
const LISTED = 5;

/**
 * The stored names of weights by the decoder's names.
 * @throws RangeError when the model does not store one as the decoder has it.
 */
export function storedNames(
  { weights }: Pick<VlmSource, 'weights'>,
  names: readonly string[],
): Map<string, string> {
  const stored = new Map<string, string>();
  for (const name of names) {
    const own = isJoined(weights, name) ? undefined : weights.storedName(name);
    if (own !== undefined) stored.set(name, own);
  }
  const missing = names.filter((name) => !stored.has(name));
  if (missing.length > 0) {
    throw new RangeError(
      `healModel: what is trained must be stored in the model, got ${missing.length} of ${names.length} weights that are not: ${missing.slice(0, LISTED).join(', ')}. Choose others by targetModules.`,
    );
  }
  return stored;
}

/** @throws RangeError where one of these stored weights is packed: what was trained is stored as floats. */
export function assertFloats(
  { checkpoint }: Pick<VlmSource, 'checkpoint'>,
  stored: ReadonlyMap<string, string>,
): void {
  const packed = [...stored.values()].filter((name) => checkpoint.packed?.parts(name));
  if (packed.length === 0) return;
  throw new RangeError(
    `healModel: what is trained must be stored as floats, got ${packed.length} of ${stored.size} weights that are packed: ${packed.slice(0, LISTED).join(', ')}. Convert with a dtype, keep the adapter beside the model, or choose others by targetModules.`,
  );
}

/**
 * Whether a weight is of a latent of a model converted with `split`, `key` or `value`: its parts for
 * keys and values are joined as they are loaded, and once trained cannot be parted again.
 */
function isJoined(weights: VlmSource['weights'], name: string): boolean {
  const folder = /^(.*\.kv_proj\w*)\./.exec(name)?.[1];
  const stores = (part: string) => weights.storedName(`${folder}.${part}.weight`) !== undefined;
  return folder !== undefined && (stores('down_k') || stores('down_v'));
}
