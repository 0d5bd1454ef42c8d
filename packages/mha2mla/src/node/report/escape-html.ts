/**
 * Text for HTML or SVG, in an element or a quoted attribute. What XML has no place for (control
 * characters, lone surrogates) and what turns the direction of text becomes a question mark.
 */
export function escapeHtml(text: string): string {
  return visible(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** JSON for a data block: no tag can end it, no comment begin in it, no text run backwards. */
export function escapeJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A name from a file for a label: one line of at most `longest` characters. */
export function label(text: string, longest = 60): string {
  const line = [...visible(text).replace(/\s+/g, ' ').trim()];
  return line.length > longest ? `${line.slice(0, longest - 1).join('')}…` : line.join('');
}

function visible(text: string): string {
  return text.replace(
    /(?![\t\n])[\p{Cc}\p{Cs}\u{2028}-\u{202e}\u{2066}-\u{2069}\u{fffe}\u{ffff}]/gu,
    '?',
  );
}
