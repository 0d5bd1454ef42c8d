/**
 * Text of tokens as they are generated, whole characters only: the bytes of a character that is cut
 * between tokens are held back. Pushed and flushed text together is what `decode` gives (of a
 * tokenizer that cleans up no spaces), save where a run of byte-fallback tokens turns out to be no
 * UTF-8: decode then drops the run's whole characters too, which a stream has already given.
 */
import { byteOfToken } from './byte-fallback';
import type { TextTokenizer } from './tokenizer';

/** Text of tokens that arrive one by one. */
export interface TokenStream {
  /** @returns the text that this token completes, possibly empty */
  push(id: number): string;
  /** @returns what is held back, as replacement characters; the stream starts anew */
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
  const specialIds = new Set(tokenizer.specialTokens.values());
  const textOf = wordText(tokenizer);
  const { bytesOf, bytes } = byteReader(tokenizer.byteForm);
  let isFirst = true;
  return {
    push(id) {
      const token = tokenizer.token(id);
      if (token === undefined || (skipSpecialTokens && specialIds.has(id))) return '';
      const own = bytesOf(token);
      const text = own ? bytes.push(own) : bytes.end() + textOf(id, isFirst);
      isFirst = false;
      return text;
    },
    flush() {
      isFirst = true;
      return bytes.end();
    },
  };
}

/** Text of single tokens; decoders treat the start of a text in a way of their own. */
function wordText(tokenizer: TextTokenizer): (id: number, isFirst: boolean) => string {
  const context = tokenizer.encode('a', { addSpecialTokens: false });
  const { length } = tokenizer.decode(context);
  return (id, isFirst) =>
    isFirst ? tokenizer.decode([id]) : tokenizer.decode([...context, id]).slice(length);
}

/** How a vocabulary spells bytes (`undefined`: the token spells none), and what makes text of them. */
function byteReader(form: TextTokenizer['byteForm']): {
  bytesOf: (token: string) => Uint8Array | undefined;
  bytes: ByteText;
} {
  if (form === 'byte-level') return { bytesOf: byteLevelBytes, bytes: lenientBytes() };
  return { bytesOf: form === 'fallback' ? fallbackBytes : () => undefined, bytes: byteRun() };
}

interface ByteText {
  /** @returns the whole characters up to these bytes that have not been given yet */
  push(bytes: Uint8Array): string;
  /** @returns replacement characters for what is left; then all starts anew */
  end(): string;
}

/** Faults anywhere, as `String::from_utf8_lossy` has them. */
function lenientBytes(): ByteText {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    push: (bytes) => decoder.decode(bytes, { stream: true }),
    end: () => decoder.decode(),
  };
}

/** One run of byte-fallback tokens: from a fault on, each byte is a replacement character. */
function byteRun(): ByteText {
  const start = () => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let decoder: TextDecoder | undefined = start();
  let held = 0;
  const giveUp = () => {
    decoder = undefined;
    const text = '\ufffd'.repeat(held);
    held = 0;
    return text;
  };
  return {
    push(bytes) {
      held += bytes.length;
      try {
        const text = decoder?.decode(bytes, { stream: true });
        if (text) held = 0;
        return text ?? giveUp();
      } catch {
        return giveUp();
      }
    },
    end() {
      const text = giveUp();
      decoder = start();
      return text;
    },
  };
}

function fallbackBytes(token: string): Uint8Array | undefined {
  const byte = byteOfToken(token);
  return byte === undefined ? undefined : Uint8Array.of(byte);
}

/** Bytes of a byte-level token; added tokens are spelt as they are, not byte by byte. */
function byteLevelBytes(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = BYTE_OF_CHARACTER.get(character);
    if (byte === undefined) return new TextEncoder().encode(token);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
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
