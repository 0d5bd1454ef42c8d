import { messageParts } from '@mha2mla/vlm-adapters';
import type { Question } from './question';

/** Questions a row at most, so that a picture with many does not make its row long. */
const WIDEST = 8;

/**
 * Cut questions into rows that run as one sequence each (see `packReferences`): questions about the
 * same pictures and videos that begin alike up to the last of them. All others have their own row.
 */
export function questionRows(questions: readonly Question[]): Question[][] {
  const rows: Question[][] = [];
  const open = new Map<string, Question[]>();
  for (const question of questions) {
    const key = keyOf(question);
    const row = key === undefined ? undefined : open.get(key);
    if (row && row.length < WIDEST) row.push(question);
    else {
      const fresh = [question];
      rows.push(fresh);
      if (key !== undefined) open.set(key, fresh);
    }
  }
  return rows;
}

/** Names of the media, and all that is said up to the last of them. */
function keyOf({ mediaKey, messages }: Question): string | undefined {
  if (mediaKey === undefined) return undefined;
  const parts = messages.flatMap((message) =>
    messageParts(message).map((part) => ({ role: message.role, ...part })),
  );
  while (parts.at(-1)?.type === 'text') parts.pop();
  return parts.length === 0 ? undefined : JSON.stringify([mediaKey, parts]);
}
