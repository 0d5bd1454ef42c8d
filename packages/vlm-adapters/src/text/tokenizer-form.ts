/**
 * Check the form of a `tokenizer.json` before the library runs it as the program that it is: the
 * stages that tokenizers of language models have (BPE; Llama, Mistral, Qwen and their kin), each
 * with the settings that it has there. Others are refused by name.
 */
import { showJson } from '@mha2mla/checkpoint';
import { jsonRecord } from '../json-record';
import {
  checkFlags,
  checkMetaspace,
  checkPrepend,
  checkReplace,
  checkSplit,
  checkStrip,
  checkTemplate,
  noSettings,
  type Settings,
  type SettingsCheck,
  wrongSetting,
} from './stage-settings';

const OWNER = 'loadTokenizer';

/** Published tokenizers have at most four stages of a kind. */
const MAX_STEPS = 32;
/** Steps after one another multiply a text's length; published ones have bytes once. */
const MAX_GROWTH = 64;

const NORMALIZERS = new Map<unknown, SettingsCheck>([
  ['NFC', noSettings],
  ['NFD', noSettings],
  ['NFKC', noSettings],
  ['NFKD', noSettings],
  ['Lowercase', noSettings],
  ['Strip', checkFlags('strip_left', 'strip_right')],
  ['Prepend', checkPrepend],
  ['Replace', checkReplace],
]);
const PRE_TOKENIZERS = new Map<unknown, SettingsCheck>([
  ['ByteLevel', checkFlags('add_prefix_space', 'trim_offsets', 'use_regex')],
  ['Digits', checkFlags('individual_digits')],
  ['Metaspace', checkMetaspace],
  ['Split', checkSplit],
]);
const POST_PROCESSORS = new Map<unknown, SettingsCheck>([
  ['ByteLevel', noSettings],
  ['TemplateProcessing', checkTemplate],
]);
const DECODERS = new Map<unknown, SettingsCheck>([
  ['ByteFallback', noSettings],
  ['ByteLevel', noSettings],
  ['Fuse', noSettings],
  ['Metaspace', checkMetaspace],
  ['Replace', checkReplace],
  ['Strip', checkStrip],
]);

/** @throws TypeError, RangeError naming the stage and the setting, with what was expected and got */
export function checkTokenizerForm(json: Settings): void {
  checkStages(json, 'normalizer', 'normalizers', NORMALIZERS);
  checkStages(json, 'pre_tokenizer', 'pretokenizers', PRE_TOKENIZERS);
  checkStages(json, 'post_processor', 'processors', POST_PROCESSORS);
  checkStages(json, 'decoder', 'decoders', DECODERS);
  checkModel(jsonRecord(OWNER, 'model', json.model));
}

/** A stage is absent (null), of one step, or a sequence of steps. */
function checkStages(
  json: Settings,
  stage: string,
  listKey: string,
  known: ReadonlyMap<unknown, SettingsCheck>,
): void {
  if (json[stage] === null) return;
  const steps = flatten(jsonRecord(OWNER, stage, json[stage]), stage, listKey);
  if (steps.length > MAX_STEPS) {
    throw new RangeError(
      `${OWNER}: ${stage} must have at most ${MAX_STEPS} steps, got ${steps.length}.`,
    );
  }
  let growth = 1;
  for (const step of steps) {
    const check = known.get(step.type);
    if (!check) {
      const types = [...known.keys()].join(', ');
      throw new RangeError(
        `${OWNER}: ${stage} must be of the types ${types}, got ${showJson(step.type)}.`,
      );
    }
    check(step, `${stage} ${step.type}`);
    growth *= growthOf(step);
  }
  if (growth > MAX_GROWTH) {
    throw new RangeError(
      `${OWNER}: ${stage} must make a text at most ${MAX_GROWTH} times as long, got ${growth} times.`,
    );
  }
}

function flatten(step: Settings, stage: string, listKey: string): Settings[] {
  if (step.type !== 'Sequence') return [step];
  const list = step[listKey];
  if (!Array.isArray(list)) {
    throw new TypeError(`${OWNER}: ${stage}.${listKey} must be a list, got ${showJson(list)}.`);
  }
  return list.flatMap((one) =>
    flatten(jsonRecord(OWNER, `a step of ${stage}`, one), stage, listKey),
  );
}

/** How many times as long a step can make a text. */
function growthOf({ type, content, pattern, replacement, str_rep }: Settings): number {
  switch (type) {
    case 'Replace': {
      const { String: spelling } = pattern as { String?: string };
      return Math.max(1, String(content ?? '').length / (spelling?.length ?? 1));
    }
    case 'Metaspace':
      return String(str_rep || (replacement ?? '▁')).length;
    case 'ByteLevel': // a character has up to three bytes, each of which becomes a character
      return 3;
    default:
      return 1;
  }
}

function checkModel(model: Settings): void {
  if (model.type !== 'BPE') {
    throw new RangeError(`${OWNER}: model must be of type BPE, got ${showJson(model.type)}.`);
  }
  checkFlags('byte_fallback', 'fuse_unk', 'ignore_merges')(model, 'model');
  const unknown = model.unk_token ?? '';
  if (typeof unknown !== 'string') throw wrongSetting('model', 'unk_token', 'text', unknown);
  for (const key of [
    'continuing_subword_prefix',
    'continuing_subword_suffix',
    'end_of_word_suffix',
  ]) {
    if ((model[key] ?? '') !== '') {
      throw new RangeError(`${OWNER}: model must have no ${key}, got ${showJson(model[key])}.`);
    }
  }
  const { merges } = model;
  const pairs = Array.isArray(merges) && Array.isArray(merges[0]);
  if (!Array.isArray(merges) || !merges.every(pairs ? isPair : isPairText)) {
    throw wrongSetting('model', 'merges', 'a list of pairs, all written alike', merges);
  }
}

function isPair(merge: unknown): boolean {
  return (
    Array.isArray(merge) && merge.length === 2 && merge.every((one) => typeof one === 'string')
  );
}

function isPairText(merge: unknown): boolean {
  return typeof merge === 'string' && merge.includes(' ');
}
