/**
 * Makes a name that came from a file fit for a message: quoted, shortened, and without characters
 * that could drive a terminal (controls, line separators, direction marks).
 */

// A tensor name has some 80 characters; 160 show any real one whole and keep a message readable.
const MAX_SHOWN = 160;

/**
 * Quotes `name` for an error message.
 * @param name any string from a file
 * @returns the name in double quotes, unprintable characters as `\uXXXX`, cut after 160 characters
 */
export function quoteName(name: string): string {
  const shown = name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name;
  return escapeUnprintable(JSON.stringify(shown));
}

/** Text with what could drive a terminal as `\uXXXX`: for messages that quote more than a name. */
export function escapeUnprintable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
