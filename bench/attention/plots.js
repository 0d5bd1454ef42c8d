/** Tokens a second of a layer, and its cache's bytes, against context, as `drawAgainstBytes` takes them. */
import { SHAPES } from './shapes.js';

const NAMES = {
  'llava-1.5-7b': 'LLaVA-1.5-7B',
  'llava-next-mistral-7b': 'LLaVA-NeXT (Mistral-7B)',
  'llava-next-llama3-8b': 'LLaVA-NeXT (Llama-3-8B)',
  'qwen2.5-vl-7b': 'Qwen2.5-VL-7B',
};
const SHARED = {
  ...{
    bytesUnit: 'bytes',
    bytesLabel: 'tokens of context',
    valueUnit: 'number',
    valueScale: 'log',
  },
  height: 520,
};

/**
 * @param results of run.js, by "shape backend kind context".
 * @param clock `wall` or `cpu`.
 */
export function plotsOf(results, clock) {
  const cells = Object.entries(results).map(([key, cell]) => {
    const [shape, backend, kind, context] = key.split(' ');
    return { shape, backend, kind, context: Number(context), cell };
  });
  const decoded = cells.filter(({ kind }) => kind === 'decode');
  const shapes = Object.keys(NAMES).filter((name) => decoded.some(({ shape }) => shape === name));
  if (shapes.length === 0) return [];
  const speeds = shapes.map((shape) => ({
    name: `speed-${shape}`,
    series: speedsOf(
      decoded.filter((one) => one.shape === shape),
      SHAPES[shape].numKeyValueHeads,
      clock,
    ),
    options: {
      ...{ ...SHARED, title: `${NAMES[shape]}: decode of one attention layer` },
      valueLabel: 'tokens a second',
    },
  }));
  const contexts = [...new Set(decoded.map(({ context }) => context))];
  const bytes = shapes.flatMap((shape) => bytesOf(shape, contexts));
  const options = { ...SHARED, title: "One layer's cache at 16 bits", valueLabel: 'cache bytes' };
  return [...speeds, { name: 'bytes', series: merged(bytes), options }];
}

/** The original, the joint latent, a latent a KV head, and others, on each backend. */
function speedsOf(cells, keyHeads, clock) {
  const drawn = ['original', 'joint', `groups ${keyHeads}`, 'pytorch'];
  const lines = new Map();
  for (const { backend, context, cell } of cells.sort((a, b) => a.context - b.context)) {
    for (const arm of drawn) {
      const times = cell[arm]?.[clock];
      // PyTorch is asked beside each backend; once is enough.
      if (!times?.length || (arm === 'pytorch' && backend !== 'tensorflow')) continue;
      const name = arm === 'pytorch' ? 'PyTorch' : `${backend}, ${arm}`;
      const value = 1000 / Math.min(...times);
      lines.set(name, [...(lines.get(name) ?? []), { bytes: context, value }]);
    }
  }
  return [...lines].map(([name, points]) => ({ name, points }));
}

function bytesOf(shape, contexts) {
  const { numKeyValueHeads: heads, headDim, rank, rope } = SHAPES[shape];
  const line = (form, floats) => ({
    name: `${NAMES[shape]}, ${form}`,
    points: contexts
      .sort((a, b) => a - b)
      .map((context) => ({ bytes: context, value: 2 * heads * floats * context })),
  });
  return [line('original', 2 * headDim), line('converted', rank + rope)];
}

/** Models of the same heads have one line. */
function merged(lines) {
  const byFigures = new Map();
  for (const { name, points } of lines) {
    const key = JSON.stringify(points);
    const [before] = byFigures.get(key) ?? [];
    byFigures.set(key, [before ? `${before.split(',')[0]} and ${name}` : name, points]);
  }
  return [...byFigures.values()].map(([name, points]) => ({ name, points }));
}
