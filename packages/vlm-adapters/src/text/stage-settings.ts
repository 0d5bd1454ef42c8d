/** Checks of the settings of a `tokenizer.json`'s stages, each as the library reads them. */
import { quoteName, showJson } from '@mha2mla/checkpoint';
import { jsonRecord } from '../json-record';
import { isLinearPattern } from './linear-pattern';

export type Settings = Record<string, unknown>;
/** Throws TypeError, RangeError for a setting that has another form. */
export type SettingsCheck = (settings: Settings, name: string) => void;

const OWNER = 'loadTokenizer';

/** What a stage puts in, such as `▁`; published ones are single characters. */
const MAX_CONTENT = 16;
/** Special tokens that a template adds to a text; published ones add two. */
const MAX_TEMPLATE = 64;

/** A stage without settings that the library reads. */
export const noSettings: SettingsCheck = () => {};

export function checkFlags(...keys: string[]): SettingsCheck {
  return (settings, name) => {
    for (const key of keys) {
      const value = settings[key] ?? false;
      if (typeof value !== 'boolean') throw wrongSetting(name, key, 'true or false', value);
    }
  };
}

export const checkPrepend: SettingsCheck = (settings, name) => checkText(settings, name, 'prepend');

export const checkMetaspace: SettingsCheck = (settings, name) => {
  for (const key of ['replacement', 'str_rep']) checkText(settings, name, key, '▁');
  // Nothing stands between all characters of a text.
  if (settings.replacement === '') throw wrongSetting(name, 'replacement', 'some text', '');
  checkOneOf(settings, name, 'prepend_scheme', ['always', 'first', 'never']);
};

export const checkReplace: SettingsCheck = (settings, name) => {
  checkText(settings, name, 'content', '');
  checkPattern(settings, name);
};

export const checkSplit: SettingsCheck = (settings, name) => {
  checkPattern(settings, name);
  checkFlags('invert')(settings, name);
  // The others, which join a match to its neighbour, the library takes for Isolated.
  checkOneOf(settings, name, 'behavior', ['Isolated', 'Removed']);
};

export const checkStrip: SettingsCheck = (settings, name) => {
  checkText(settings, name, 'content', '');
  for (const key of ['start', 'stop']) {
    const value = Number(settings[key] ?? 0);
    if (!Number.isInteger(value) || value < 0 || value > MAX_CONTENT) {
      throw wrongSetting(name, key, `an integer in 0..${MAX_CONTENT}`, settings[key]);
    }
  }
};

/** The text once, and special tokens around it. */
export const checkTemplate: SettingsCheck = (settings, name) => {
  const { single } = settings;
  const items: unknown[] = Array.isArray(single) && single.length <= MAX_TEMPLATE ? single : [];
  const texts = items.filter((item) => idOf(item, 'Sequence') === 'A').length;
  const tokens = items.filter((item) => typeof idOf(item, 'SpecialToken') === 'string').length;
  if (texts !== 1 || texts + tokens !== items.length) {
    throw wrongSetting(name, 'single', 'one {Sequence} "A" among {SpecialToken}s', single);
  }
};

export function wrongSetting(name: string, key: string, must: string, value: unknown): TypeError {
  return new TypeError(`${OWNER}: ${key} of ${name} must be ${must}, got ${showJson(value)}.`);
}

/** `{String}`, taken as it is, or `{Regex}`, a program. */
function checkPattern(settings: Settings, name: string): void {
  const { String: spelling, Regex: regex } = jsonRecord(OWNER, `${name}.pattern`, settings.pattern);
  if (regex === undefined && typeof spelling === 'string' && spelling !== '') return;
  if (typeof regex !== 'string' || spelling !== undefined) {
    throw wrongSetting(name, 'pattern', '{String} or {Regex}, not empty', settings.pattern);
  }
  if (!isLinearPattern(regex)) {
    throw new RangeError(
      `${OWNER}: ${name} must have a pattern of a published tokenizer (GPT-2, Llama 3, Qwen2) or a plain one that cannot take long, got ${quoteName(regex)}.`,
    );
  }
}

/** A short text, absent or null only where the library has a default. */
function checkText(settings: Settings, name: string, key: string, fallback?: string): void {
  const value = settings[key] ?? fallback;
  if (typeof value !== 'string' || value.length > MAX_CONTENT) {
    throw wrongSetting(name, key, `text of at most ${MAX_CONTENT} characters`, value);
  }
}

function checkOneOf(
  settings: Settings,
  name: string,
  key: string,
  known: readonly unknown[],
): void {
  const value = settings[key] ?? known[0];
  if (!known.includes(value)) throw wrongSetting(name, key, `one of ${known.join(', ')}`, value);
}

function idOf(item: unknown, key: string): unknown {
  return (item as Record<string, { id?: unknown } | null | undefined> | null)?.[key]?.id;
}
