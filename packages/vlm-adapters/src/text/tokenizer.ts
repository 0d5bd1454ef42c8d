/**
 * Text to token ids and back, from a Hugging Face `tokenizer.json`, over @huggingface/tokenizers.
 * What it adds: checks of the file before it decides allocations, decoding as Hugging Face does it
 * (bytes that are no UTF-8, ids without a token), and text that holds a special token's spelling
 * literally.
 */

import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import { escapeUnprintable, showJson } from '@mha2mla/checkpoint';
import { jsonRecord } from '../json-record';
import { correctByteFallback } from './byte-fallback';
import { encodeLiteral, type LiteralSpan } from './encode-literal';
import { checkTokenizerForm } from './tokenizer-form';

export interface EncodeOptions {
  /** Add what the post-processor adds, such as the begin-of-text token. Default true. */
  addSpecialTokens?: boolean;
  /** Parts of the text, in order, where no special token is recognised. Default none. */
  literal?: readonly LiteralSpan[];
}

export interface DecodeOptions {
  skipSpecialTokens?: boolean;
}

/** A tokenizer of a checkpoint, in which text that spells a special token stays text. */
export interface TextTokenizer {
  /** @throws RangeError when a literal span cannot be kept apart from a special token */
  encode(text: string, options?: EncodeOptions): number[];
  /** Ids without a token (an embedding may have more rows than there are tokens) are skipped. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** The id of a token, by its spelling. */
  tokenId(token: string): number | undefined;
  /** The spelling of an id, as it stands in the vocabulary. */
  token(id: number): string | undefined;
  /** Special tokens: spelling to id. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** Tokens by role, of tokenizer_config.json: `bos_token`, `eos_token`, `pad_token`, … */
  readonly namedTokens: Readonly<Record<string, string>>;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  readonly padTokenId: number | undefined;
  /** How tokens spell bytes: `<0x0A>` in SentencePiece's way, or one character each. */
  readonly byteForm: 'fallback' | 'byte-level' | undefined;
}

/** Ids index arrays; the largest vocabularies have some 300,000. */
const MAX_TOKEN_ID = 4_000_000;
/** Looked for at every character of a text; the longest, of blanks, have below 200. */
const MAX_ADDED_CHARACTERS = 1024;

const OWNER = 'loadTokenizer';

/**
 * Make a tokenizer from the parsed files.
 * @param tokenizerJson `tokenizer.json`
 * @param tokenizerConfig `tokenizer_config.json`; names the roles of special tokens
 * @throws TypeError, RangeError for a file of another form
 */
export function loadTokenizer(
  tokenizerJson: unknown,
  tokenizerConfig: unknown = {},
): TextTokenizer {
  const json = jsonRecord(OWNER, 'tokenizer.json', tokenizerJson);
  const config = jsonRecord(OWNER, 'tokenizer_config.json', tokenizerConfig);
  checkIds(json);
  checkTokenizerForm(json);
  for (const name of ['remove_space', 'do_lowercase_and_remove_accent']) {
    if (config[name]) throw new RangeError(`${OWNER}: ${name} is not supported, got true.`);
  }
  // Hugging Face's default; the library's is true.
  const cleanUp = config.clean_up_tokenization_spaces === true;
  const hub = makeHub(json, cleanUp);
  correctByteFallback(hub.decoder);
  const added = [...hub.get_added_tokens_decoder().values()];
  const special = new Map(added.filter((t) => t.special).map((t) => [t.content, t.id]));
  const specialIds = new Set(special.values());
  const namedTokens = tokensByRole(config);
  const tokenId = (token: string) => hub.token_to_id(token);
  const idOfRole = (role: string) =>
    namedTokens[role] === undefined ? undefined : tokenId(namedTokens[role]);
  return {
    encode: (text, { addSpecialTokens = true, literal = [] } = {}) =>
      literal.length === 0
        ? checkKnown(hub.encode(text, { add_special_tokens: addSpecialTokens }).ids)
        : checkKnown(encodeLiteral(hub, text, { addSpecialTokens, literal })),
    decode(ids, { skipSpecialTokens = false } = {}) {
      const known = Array.from(ids).filter(
        (id) => hub.id_to_token(id) !== undefined && !(skipSpecialTokens && specialIds.has(id)),
      );
      return known.length === 0 ? '' : hub.decode(known);
    },
    tokenId,
    token: (id) => hub.id_to_token(id),
    specialTokens: special,
    namedTokens,
    bosTokenId: idOfRole('bos_token'),
    eosTokenId: idOfRole('eos_token'),
    padTokenId: idOfRole('pad_token'),
    byteForm: byteFormOf(json.decoder),
  };
}

function makeHub(json: Record<string, unknown>, cleanUp: boolean): HubTokenizer {
  try {
    return new HubTokenizer(json, { clean_up_tokenization_spaces: cleanUp });
  } catch (cause) {
    // Such as a pattern of an empty range.
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new TypeError(
      `${OWNER}: tokenizer.json must be one that loads, got: ${escapeUnprintable(message)}`,
      {
        cause,
      },
    );
  }
}

/** Every id of the vocabulary and of the added tokens is an index that an array can have. */
function checkIds(json: Record<string, unknown>): void {
  const model = jsonRecord(OWNER, 'model', json.model);
  if (!Array.isArray(json.added_tokens)) {
    throw new TypeError(`${OWNER}: added_tokens must be a list, got ${typeof json.added_tokens}.`);
  }
  const addedIds = json.added_tokens.map((token) => {
    const { content, id } = jsonRecord(OWNER, 'an added token', token);
    const isText = typeof content === 'string' && content !== '';
    if (!isText || content.length > MAX_ADDED_CHARACTERS) {
      throw new TypeError(
        `${OWNER}: an added token must have content of 1 to ${MAX_ADDED_CHARACTERS} characters, got ${showJson(content)}.`,
      );
    }
    return id;
  });
  const ids = Object.values(jsonRecord(OWNER, 'model.vocab', model.vocab));
  for (const id of [...addedIds, ...ids]) {
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) > MAX_TOKEN_ID) {
      throw new RangeError(
        `${OWNER}: a token id must be an integer in 0..${MAX_TOKEN_ID}, got ${showJson(id)}.`,
      );
    }
  }
}

/** What has no id stands in no vocabulary: a template's special token, or what is unknown. */
function checkKnown(ids: number[]): number[] {
  if (!ids.includes(undefined as never)) return ids;
  throw new RangeError(
    'encode: tokens must stand in the vocabulary or be unk_token, got one that does neither.',
  );
}

/** The `*_token` entries: a string, or (older files) an object with its content. */
function tokensByRole(config: Record<string, unknown>): Record<string, string> {
  const roles: [string, string][] = [];
  for (const [role, value] of Object.entries(config)) {
    if (!role.endsWith('_token')) continue;
    const content =
      typeof value === 'object' && value !== null
        ? (value as Record<string, unknown>).content
        : value;
    if (typeof content === 'string') roles.push([role, content]);
  }
  return Object.fromEntries(roles);
}

function byteFormOf(decoder: unknown): TextTokenizer['byteForm'] {
  const { type, decoders } = (decoder ?? {}) as { type?: unknown; decoders?: unknown };
  const steps: unknown[] = type === 'Sequence' && Array.isArray(decoders) ? decoders : [decoder];
  const types = steps.map((step) => (step as { type?: unknown } | null)?.type);
  if (types.includes('ByteLevel')) return 'byte-level';
  return types.includes('ByteFallback') ? 'fallback' : undefined;
}
