/** Questions and answers. Two models answer one after the other, so that neither slows the other. */
import type { CachedTokens, ChatMessage, Model, Reply } from '@mha2mla/vlm-adapters';
import { type Signal, signal } from '@preact/signals';
import { announce } from '../words/announce';
import { type Explained, explainError } from '../words/explain-error';
import { asksAfresh, panes, reload } from './panes';
import { type Picture, revoke } from './pictures';

export interface Answer {
  status: 'waiting' | 'running' | 'done' | 'stopped' | 'cut' | 'failed';
  text: string;
  outputTokens: number;
  tokensPerSecond: number;
  timeToFirstTokenMs?: number;
  cachedTokens?: CachedTokens;
  problem?: Explained;
}

export interface Turn {
  question: string;
  pictures: readonly Picture[];
  /** One of each pane. */
  answers: readonly Signal<Answer>[];
}

/** Beyond this a small model goes round in circles. */
const MAX_TOKENS = 512;
/** Losses of the device after which it is not tried again. */
const MOST_LOSSES = 2;

export const turns = signal<readonly Turn[]>([]);
export const isAnswering = signal(false);
/** Of the device, while models are loaded again. */
export const notice = signal<string | undefined>(undefined);

let current: Reply | undefined;
let stopped = false;
let losses = 0;
let finished: Promise<void> = Promise.resolve();

export function ask(question: string, pictures: readonly Picture[]): Promise<void> {
  const waiting = (): Signal<Answer> =>
    signal({ status: 'waiting', text: '', outputTokens: 0, tokensPerSecond: 0 });
  const turn = { question, pictures, answers: panes.value.map(waiting) };
  turns.value = [...turns.value, turn];
  finished = answerAll(turn);
  return finished;
}

export function stop(): void {
  stopped = true;
  current?.stop();
}

export async function newChat(): Promise<void> {
  stop();
  await finished;
  for (const { pictures } of turns.value) revoke(pictures);
  turns.value = [];
  losses = 0;
}

async function answerAll(turn: Turn): Promise<void> {
  isAnswering.value = true;
  stopped = false;
  announce('Answering.');
  for (const index of turn.answers.keys()) await answer(turn, index);
  isAnswering.value = false;
  announce(turn.answers.map((one, index) => spoken(one.value, index)).join(' '));
}

function spoken({ text, problem, status }: Answer, index: number): string {
  const who = panes.value.length > 1 ? `${panes.value[index]?.label}: ` : '';
  if (problem) return `${who}${problem.title} ${problem.advice}`;
  return `${who}${text.trim() || 'no text'}${status === 'stopped' ? ', stopped' : ''}.`;
}

async function answer(turn: Turn, index: number): Promise<void> {
  const shown = turn.answers[index]!;
  const set = (part: Partial<Answer>) => {
    shown.value = { ...shown.value, ...part };
  };
  if (stopped) return set({ status: 'stopped' });
  set({ status: 'running', text: '' });
  try {
    await stream(panes.value[index]!.model, messagesFor(turn, index), shown);
  } catch (error) {
    if (!isLoss(error) || losses >= MOST_LOSSES) {
      return set({ status: 'failed', problem: explainError(error) });
    }
    try {
      await rebuild();
    } catch (failure) {
      return set({ status: 'failed', problem: explainError(failure) });
    } finally {
      notice.value = undefined;
    }
    await answer(turn, index);
  }
}

const isLoss = (error: unknown) => (error as { code?: string }).code === 'device-lost';

/** The conversation is the page's, so that another worker goes on with it. */
async function rebuild(): Promise<void> {
  losses++;
  const onWasm = losses >= MOST_LOSSES;
  const how = onWasm ? ', this time on WebAssembly' : '';
  notice.value = `The graphics device was lost. Loading again${how}; the conversation is kept.`;
  announce(notice.value);
  try {
    await reload(onWasm);
  } catch (error) {
    if (onWasm || !isLoss(error)) throw error;
    await rebuild();
  }
}

async function stream(model: Model, messages: ChatMessage[], shown: Signal<Answer>) {
  const started = performance.now();
  current = model.chat(messages, { maxTokens: MAX_TOKENS });
  if (stopped) current.stop();
  let first: number | undefined;
  for await (const { text, outputTokens, cachedTokens } of current) {
    const now = performance.now();
    first ??= now;
    shown.value = {
      ...shown.value,
      text: shown.value.text + text,
      outputTokens,
      cachedTokens,
      timeToFirstTokenMs: first - started,
      tokensPerSecond: now > first ? (1000 * (outputTokens - 1)) / (now - first) : 0,
    };
  }
  const { finishReason, usage, stats } = await current;
  shown.value = {
    ...shown.value,
    status: finishReason === 'abort' ? 'stopped' : finishReason === 'length' ? 'cut' : 'done',
    outputTokens: usage.outputTokens,
    tokensPerSecond: stats.decodeTokensPerSecond,
    cachedTokens: stats.cachedTokens,
    timeToFirstTokenMs: stats.timeToFirstTokenMs,
  };
}

/** The conversation as one pane has it. */
function messagesFor(turn: Turn, index: number): ChatMessage[] {
  const asked = turns.value.slice(0, turns.value.indexOf(turn) + 1);
  if (asksAfresh.value) {
    const pictures = lastPictures(asked);
    return [userMessage(turn.question, pictures)];
  }
  return asked.flatMap(({ question, pictures, answers }) => {
    const user = userMessage(question, pictures);
    const { text, status } = answers[index]!.value;
    const isLast = answers === turn.answers || status === 'failed';
    return isLast ? [user] : [user, { role: 'assistant', content: text }];
  });
}

/** Those that were shown last. */
export function lastPictures(asked: readonly Turn[]): readonly Picture[] {
  return asked.filter(({ pictures }) => pictures.length > 0).at(-1)?.pictures ?? [];
}

function userMessage(question: string, pictures: readonly Picture[]): ChatMessage {
  const images = pictures.map(({ blob }) => ({ type: 'image' as const, image: blob }));
  return { role: 'user', content: [...images, { type: 'text', text: question }] };
}
