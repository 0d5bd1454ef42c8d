import { signal } from '@preact/signals';

/** What the polite status region says; the transcript itself is no live region. */
export const announced = signal('');

export function announce(text: string): void {
  announced.value = text;
}
