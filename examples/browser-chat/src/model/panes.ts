/** Models that are loaded, each with a column of answers, and how loading goes on. */
import { connectModel, type Model, type ModelDescription } from '@mha2mla/vlm-adapters';
import { signal } from '@preact/signals';
import { showBytes } from '../words/amounts';
import { announce } from '../words/announce';
import { type Explained, explainError } from '../words/explain-error';
import { backend, type Candidate, candidates, tab, weights } from './choice';
import { endWorker, pageWorker } from './page-worker';

export interface Pane {
  label: string;
  description: ModelDescription;
  model: Model;
}

export interface Loading {
  /** From 0 to 1, never less than before. */
  share: number;
  phase: string;
}

/** Of the bar, when programs of a device are compiled behind the reading. */
const WARM_UP_SHARE = 0.15;

export const panes = signal<readonly Pane[]>([]);
export const loading = signal<Loading | undefined>(undefined);
export const problem = signal<Explained | undefined>(undefined);
/** Questions on their own: what the small models were trained on. */
export const asksAfresh = signal(false);

let loaded: readonly Candidate[] = [];
let controller: AbortController | undefined;

/** Load what is chosen. */
export async function load(): Promise<void> {
  asksAfresh.value = tab.value === 'shipped';
  loaded = candidates.value;
  problem.value = undefined;
  announce('Loading.');
  controller = new AbortController();
  const { signal: given } = controller;
  try {
    panes.value = await connectAll(given);
    announce('Ready. Show a picture and ask about it.');
  } catch (error) {
    endWorker(); // with whatever it holds
    if (!given.aborted) {
      problem.value = explainError(error);
      announce(`${problem.value.title} ${problem.value.advice}`);
    }
  } finally {
    loading.value = undefined;
  }
}

export function cancelLoading(): void {
  controller?.abort();
  announce('Loading was given up.');
}

/** Load the same again in a new worker, such as after a device was lost. */
export async function reload(onWasm: boolean): Promise<void> {
  endWorker();
  if (onWasm) backend.value = 'wasm';
  try {
    panes.value = await connectAll(new AbortController().signal);
  } finally {
    loading.value = undefined;
  }
}

/** Back to the choice. */
export function unload(): void {
  endWorker();
  panes.value = [];
}

async function connectAll(given: AbortSignal): Promise<Pane[]> {
  const descriptions = loaded.map(({ facts }) => {
    const known = facts.value;
    if (known && 'description' in known) return known.description;
    throw new Error('load: headers must be read first.');
  });
  const total = descriptions.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  let before = 0;
  const reading = 1 - WARM_UP_SHARE;
  const show = (share: number, phase: string) => {
    loading.value = { share: Math.max(share, loading.value?.share ?? 0), phase };
  };
  show(0, 'Starting');
  const found: Pane[] = [];
  for (const [index, { label, source }] of loaded.entries()) {
    const description = descriptions[index]!;
    const model = await connectModel(pageWorker(), source, {
      backend: backend.value,
      weights: weights.value,
      signal: given,
      onProgress: ({ loaded: bytes }) => {
        const done = before + bytes;
        const phase = `Reading weights of “${label}”: ${showBytes(done)} of ${showBytes(total)}`;
        show((reading * done) / total, phase);
      },
    });
    before += description.storedBytes;
    found.push({ label, description, model });
  }
  for (const [index, { model, label }] of found.entries()) {
    if (model.backend !== 'webgpu') continue;
    await warmUp(model, given, (done) => {
      const share = (WARM_UP_SHARE * (index + done)) / found.length;
      show(reading + share, `Compiling for the graphics device: “${label}”`);
    });
  }
  show(1, 'Ready');
  return found;
}

/** Compile a device's programs before the first answer waits for them. */
async function warmUp(model: Model, given: AbortSignal, onShare: (share: number) => void) {
  const image = { data: new Uint8Array(3 * 28 * 28), width: 28, height: 28 };
  const content = [
    { type: 'image' as const, image },
    { type: 'text' as const, text: 'what' },
  ];
  await model.chat([{ role: 'user', content }], {
    maxTokens: 2,
    signal: given,
    onProgress: ({ phase, loaded: layers, total }) => {
      onShare((layers / total + (phase === 'vision' ? 0 : 1)) / 2);
    },
  });
}
