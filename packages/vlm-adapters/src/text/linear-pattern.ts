/**
 * Which regular expressions of a `tokenizer.json` may run. JavaScript's engine tracks back, so that
 * a pattern of twenty characters can take years on a line of text, and nothing but a worker's end
 * stops it; engines of linear time have no lookahead, which every published pattern has. So those
 * of the published tokenizers are known by their text, and others must be plainly harmless.
 */

/** Pre-tokenizers of GPT-2, of Llama 3, and of Qwen2: each match takes time in its own length. */
const PUBLISHED: ReadonlySet<string> = new Set([
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
]);

const ESCAPE = String.raw`\\(?:[pP]\{\w{1,32}\}|[dDsSwWrnt]|[^A-Za-z0-9])`;
const CLASS = String.raw`\[\^?(?:${ESCAPE}|[^\\\[\]&^])+\]`;
const ATOM = String.raw`(?:${ESCAPE}|${CLASS}|[^\\^$.*+?()[\]{}|])`;
/**
 * Atoms of one character each, of which the last may repeat, apart by `|`: at any place in a text a
 * try fails within the pattern's length, and what repeats at the end never has to give back.
 */
const HARMLESS = new RegExp(`^${ATOM}+[+?]?(?:\\|${ATOM}+[+?]?)*$`, 'u');

/** Longer patterns are published ones. */
const MAX_HARMLESS = 128;

/** Whether a pattern takes time in proportion to the text, whatever the text. */
export function isLinearPattern(pattern: string): boolean {
  return PUBLISHED.has(pattern) || (pattern.length <= MAX_HARMLESS && HARMLESS.test(pattern));
}
