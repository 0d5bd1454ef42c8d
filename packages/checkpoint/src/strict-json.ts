/**
 * JSON from a file nobody vouches for. `JSON.parse` keeps the last of two equal keys without a
 * word, so that two tools can see two models in one file; here equal keys are refused. Nesting is
 * bounded before anything recurses over the result.
 */
import { CheckpointError } from './checkpoint-error';
import { quoteName } from './quote-name';

/** Limits of `parseJson`. */
export interface ParseJsonOptions {
  /** Deepest nesting. HF configs nest 4 deep, tokenizers 6; 64 leaves room and bounds recursion. */
  maxDepth?: number;
  /** Refuse numbers with a fraction, exponent or sign, and true and false (safetensors headers). */
  naturalsOnly?: boolean;
}

/**
 * Parses strict JSON.
 * @param text the whole document; a byte order mark is refused
 * @param name of the file, for messages
 * @throws CheckpointError `not-json`, `duplicate-key`, `too-deep`
 */
export function parseJson(text: string, name: string, options: ParseJsonOptions = {}): unknown {
  const { maxDepth = 64, naturalsOnly = false } = options;
  scan(text, name, maxDepth, naturalsOnly);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError('not-json', `parseJson: ${quoteName(name)} must be JSON.`, { cause });
  }
}

/** One pass over the text; what is no JSON at all passes here and fails in `JSON.parse`. */
function scan(text: string, name: string, maxDepth: number, naturalsOnly: boolean): void {
  const open: (Set<string> | undefined)[] = []; // keys seen in each open object; lists have none
  let stringStart = -1;
  let stringEnd = -1;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) {
      stringStart = i;
      stringEnd = endOfString(text, i);
      i = stringEnd;
    } else if (code === 0x7b || code === 0x5b) {
      if (open.length >= maxDepth) throw tooDeep(name, maxDepth);
      open.push(code === 0x7b ? new Set() : undefined);
    } else if (code === 0x7d || code === 0x5d) {
      open.pop();
    } else if (code === 0x3a) {
      addKey(open.at(-1), text.slice(stringStart, stringEnd + 1), name);
    } else if (naturalsOnly && NOT_NATURAL.has(code)) {
      throw new CheckpointError(
        'header-entry',
        `parseJson: numbers in ${quoteName(name)} must be natural numbers in plain digits, got ${quoteName(text.slice(Math.max(i - 8, 0), i + 8))}.`,
      );
    }
  }
}

const NOT_NATURAL = new Set([...'.eE-+'].map((character) => character.charCodeAt(0)));

/** Position of the closing quote, or of the end of the text. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x5c) i++;
    else if (code === 0x22) return i;
  }
  return text.length;
}

function addKey(keys: Set<string> | undefined, literal: string, name: string): void {
  const key = decodeKey(literal);
  if (key === undefined || keys === undefined) return; // no JSON: JSON.parse refuses it
  if (keys.has(key)) {
    throw new CheckpointError(
      'duplicate-key',
      `parseJson: keys of an object in ${quoteName(name)} must differ, got ${quoteName(key)} twice.`,
    );
  }
  keys.add(key);
}

/** The key that a quoted literal stands for: "\u0061" and "a" are one key. */
function decodeKey(literal: string): string | undefined {
  if (!literal.includes('\\')) return literal.slice(1, -1);
  try {
    return String(JSON.parse(literal));
  } catch {
    return undefined;
  }
}

function tooDeep(name: string, maxDepth: number): CheckpointError {
  return new CheckpointError(
    'too-deep',
    `parseJson: ${quoteName(name)} must nest at most ${maxDepth} deep.`,
  );
}
