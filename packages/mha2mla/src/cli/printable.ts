/**
 * Text that came from files or a model, made safe for a terminal: control characters, which could
 * move the cursor or set the title, are shown as escapes. Line ends and tabs stay.
 */
export function printable(text: string): string {
  return text.replace(CONTROL, (character) => {
    const code = character.codePointAt(0)!.toString(16);
    return `\\u{${code}}`;
  });
}

// Control characters but tab and line feed, those that reorder text, and lone surrogates.
const CONTROL = /(?![\t\n])[\p{Cc}\p{Cs}\u{202a}-\u{202e}\u{2066}-\u{2069}]/gu;
