/**
 * Text that came from files or a model, made safe for a terminal: control characters, which could
 * move the cursor or set the title, are shown as escapes. Line ends and tabs stay.
 */
export function printable(text: string): string {
  return text.replace(CONTROL, escaped);
}

/** The same for a name or a message, which must not begin a line of its own. */
export function printableLine(text: string): string {
  return printable(text).replace(/[\t\n]/g, escaped);
}

// Control characters but tab and line feed, those that reorder text, and lone surrogates.
const CONTROL = /(?![\t\n])[\p{Cc}\p{Cs}\u{2028}-\u{202e}\u{2066}-\u{2069}]/gu;

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}
