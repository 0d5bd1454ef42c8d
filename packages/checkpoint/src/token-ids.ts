/** Ids of special tokens in a config: single numbers, lists for the end of a text. */
import { type ConfigRecord, configInteger, configIntegers, configValue } from './config-values';
import type { TextDefaults } from './text-defaults';

/** The largest id that a config may name: the cap of the vocabulary, 2^22. */
export const MAX_TOKEN_ID = 4_194_303;
// Llama 3 ends at 3 different tokens.
const MAX_END_TOKENS = 64;

/** Special tokens of the language model. */
export interface TokenIds {
  bosTokenId?: number;
  eosTokenIds: number[];
  padTokenId?: number;
}

/**
 * Reads bos, eos and pad from the text config, or from the top of the config.
 * @throws CheckpointError `bad-config`
 */
export function readTokenIds(
  text: ConfigRecord,
  top: ConfigRecord,
  defaults: TextDefaults,
): TokenIds {
  const bosTokenId =
    readTokenId(text, 'bos_token_id') ?? readTokenId(top, 'bos_token_id') ?? defaults.bos_token_id;
  const padTokenId = readTokenId(top, 'pad_token_id') ?? readTokenId(text, 'pad_token_id');
  const eosDefault = defaults.eos_token_id === undefined ? [] : [defaults.eos_token_id];
  return {
    ...(bosTokenId !== undefined && { bosTokenId }),
    eosTokenIds: readEndTokens(text) ?? readEndTokens(top) ?? eosDefault,
    ...(padTokenId !== undefined && { padTokenId }),
  };
}

/** Reads one token id; absent, null and -1 (older Llama configs: no such token) are `undefined`. */
export function readTokenId(record: ConfigRecord, key: string): number | undefined {
  if (configValue(record, key) === undefined) return undefined;
  const id = configInteger(record, key, { min: -1, max: MAX_TOKEN_ID });
  return id === -1 ? undefined : id;
}

function readEndTokens(record: ConfigRecord): number[] | undefined {
  const key = 'eos_token_id';
  if (Array.isArray(configValue(record, key))) {
    return configIntegers(record, key, { min: 0, max: MAX_TOKEN_ID, length: MAX_END_TOKENS });
  }
  const id = readTokenId(record, key);
  return id === undefined ? undefined : [id];
}
