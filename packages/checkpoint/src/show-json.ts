import { escapeUnprintable } from './quote-name';

// Enough to recognise any setting by.
const MAX_SHOWN = 80;

/** A parsed value of a file for a message: as JSON, cut short, and fit to be printed. */
export function showJson(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value);
  return escapeUnprintable(json.length > MAX_SHOWN ? `${json.slice(0, MAX_SHOWN)}…` : json);
}
