/**
 * Byte tokens (`<0x0A>`) of SentencePiece vocabularies. Hugging Face's decoder makes text of a whole
 * run of them where the run is UTF-8, and one replacement character of each byte where it is not;
 * that of @huggingface/tokenizers keeps what is valid within a broken run.
 */
import { ByteFallbackDecoder, type Decoder, SequenceDecoder } from '@huggingface/tokenizers';

/** The byte that a token spells, or `undefined`. */
export function byteOfToken(token: string): number | undefined {
  const digits = /^<0x([0-9a-f]{2})>$/i.exec(token)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

/** Let the byte step of a decoder, if it has one, decode as Hugging Face does. */
export function correctByteFallback(decoder: Decoder | null): void {
  if (decoder instanceof SequenceDecoder) decoder.decoders.forEach(correctByteFallback);
  if (decoder instanceof ByteFallbackDecoder) decoder.decode_chain = decodeByteRuns;
}

/** Replace each run of byte tokens by its text. */
export function decodeByteRuns(tokens: readonly string[]): string[] {
  const texts: string[] = [];
  let run: number[] = [];
  const endRun = () => {
    if (run.length > 0) texts.push(decodeRun(run));
    run = [];
  };
  for (const token of tokens) {
    const byte = byteOfToken(token);
    if (byte === undefined) {
      endRun();
      texts.push(token);
    } else {
      run.push(byte);
    }
  }
  endRun();
  return texts;
}

function decodeRun(bytes: number[]): string {
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return decoder.decode(Uint8Array.from(bytes));
  } catch {
    return '\ufffd'.repeat(bytes.length);
  }
}
