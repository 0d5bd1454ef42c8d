/**
 * Text of tokens as they are generated, whole characters only: the bytes of a character that is cut
 * between tokens are held back. Pushed and flushed text together is what `decode` gives; only bytes
 * that are no UTF-8 at all may become fewer or more replacement characters in a SentencePiece
 * (byte-fallback) vocabulary, where decode's count depends on tokens still to come.
 */
import type { TextTokenizer } from './tokenizer';

export interface TokenStream {
  /** @returns the text that this token completes, possibly empty */
  push(id: number): string;
  /** @returns what is held back, as a replacement character; the stream starts anew */
  flush(): string;
}

export interface TokenStreamOptions {
  /** Leave special tokens out. Default true. */
  skipSpecialTokens?: boolean;
}

/** Make a stream for one answer. */
export function createTokenStream(
  tokenizer: TextTokenizer,
  { skipSpecialTokens = true }: TokenStreamOptions = {},
): TokenStream {
  const special = new Map([...tokenizer.specialTokens].map(([token, id]) => [id, token]));
  const encoder = new TextEncoder();
  // Text before a token, so that what decoders do to the start of a text is not done to each token.
  const context = tokenizer.encode('a', { addSpecialTokens: false });
  const contextText = tokenizer.decode(context);
  let decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let started = false;

  function bytesOf(id: number): Uint8Array {
    const token = tokenizer.token(id) ?? '';
    const byte = tokenizer.byteForm === 'fallback' ? /^<0x([0-9A-F]{2})>$/.exec(token) : null;
    if (byte) return Uint8Array.of(Number.parseInt(byte[1]!, 16));
    if (tokenizer.byteForm === 'byte-level') {
      const bytes = Array.from(token, (character) => BYTE_OF_CHARACTER.get(character));
      // Added tokens are spelt as they are, not byte by byte.
      return bytes.includes(undefined) ? encoder.encode(token) : Uint8Array.from(bytes as number[]);
    }
    if (!started) return encoder.encode(tokenizer.decode([id]));
    return encoder.encode(tokenizer.decode([...context, id]).slice(contextText.length));
  }

  return {
    push(id) {
      if (tokenizer.token(id) === undefined) return '';
      if (skipSpecialTokens && special.has(id)) return '';
      const text = decoder.decode(bytesOf(id), { stream: true });
      started = true;
      return text;
    },
    flush() {
      const text = decoder.decode();
      decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      started = false;
      return text;
    },
  };
}

/**
 * The byte that a character stands for in a byte-level vocabulary (GPT-2): printable Latin-1
 * characters stand for themselves, the other bytes for 256, 257, … in order.
 */
const BYTE_OF_CHARACTER = new Map<string, number>();
for (let byte = 0, next = 256; byte < 256; byte++) {
  const printable =
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  BYTE_OF_CHARACTER.set(String.fromCharCode(printable ? byte : next++), byte);
}
