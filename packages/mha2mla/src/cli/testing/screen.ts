const ESCAPE = '\u001b';
const PARTS = /␛\[?([?\d]*[A-Za-z]|[78])|[\r\n]|[^␛\r\n]+/g;

/** What a terminal shows of a text with the control sequences that a progress bar uses. */
export function screenOf(text: string): { lines: string[]; cursorShown: boolean } {
  const lines = [''];
  let [x, y] = [0, 0];
  let saved = [x, y] as const;
  let cursorShown = true;
  for (const [part, code] of text.replaceAll(ESCAPE, '␛').matchAll(PARTS)) {
    if (part === '\n') [x, y] = [0, y + 1];
    else if (part === '\r' || code?.endsWith('G')) x = 0;
    else if (code === '7') saved = [x, y];
    else if (code === '8') [x, y] = saved;
    else if (code === '?25l') cursorShown = false;
    else if (code === '?25h') cursorShown = true;
    else if (code === '2K') lines[y] = '';
    else if (code === '0K' || code === 'K') lines[y] = lines[y]!.slice(0, x);
    else if (code === '0J' || code === 'J') lines.splice(y, lines.length, lines[y]!.slice(0, x));
    else if (code === undefined) {
      const line = lines[y]!.padEnd(x);
      lines[y] = line.slice(0, x) + part + line.slice(x + part.length);
      x += part.length;
    } else if (!code.startsWith('?7')) {
      throw new Error(`screenOf: expected a sequence that is known, got ${JSON.stringify(part)}.`);
    }
    lines[y] ??= '';
  }
  return { lines, cursorShown };
}
