/** What a person asks, turn by turn: on the command line, then on standard input. */
import { createInterface } from 'node:readline';
import { text as readAll } from 'node:stream/consumers';
import { UsageError } from './usage-error';

export interface PromptFlags {
  /** `-` is all of standard input. */
  prompt: readonly string[];
  /** Each line of standard input is a turn. */
  chat?: boolean;
}

/** @throws UsageError where nothing is asked, or standard input is to be read twice. */
export function assertAsked({ prompt, chat }: PromptFlags): void {
  if (prompt.length === 0 && !chat) {
    throw new UsageError('generate: expected --prompt or --chat, got neither.');
  }
  if (prompt.filter((text) => text === '-').length + (chat ? 1 : 0) > 1) {
    throw new UsageError('generate: standard input must be read once, by --prompt - or --chat.');
  }
}

/** @returns prompts, as they come; an interruption ends them or throws its reason. */
export async function* readPrompts(
  { prompt, chat }: PromptFlags,
  stdin: NodeJS.ReadableStream,
  signal: AbortSignal,
): AsyncGenerator<string, undefined> {
  for (const text of prompt) yield text === '-' ? await readWhole(stdin, signal) : text;
  if (!chat) return;
  for await (const line of createInterface({ input: stdin, signal })) {
    if (line.trim() !== '') yield line;
  }
}

/** Standard input to its end, or to an interruption. */
async function readWhole(stdin: NodeJS.ReadableStream, signal: AbortSignal): Promise<string> {
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  return (await Promise.race([readAll(stdin), interrupted])).trimEnd();
}
