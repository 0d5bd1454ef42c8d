/** What a token takes in the caches of published models, by the formats of `@mha2mla/kv-quant`. */
import { bytesPerToken } from '@mha2mla/kv-quant';

/** Layers and KV heads by their configs; heads have 128 dims. */
const MODELS = [
  { name: 'LLaVA-1.5-7B', layers: 32, heads: 32 },
  { name: 'LLaVA-NeXT-8B', layers: 32, heads: 8 },
  { name: 'Qwen2.5-VL-7B', layers: 28, heads: 4 },
];
const HEAD_DIM = 128;
const HALF = { method: 'half' };
const FORMS = [
  { name: 'original, 16 bits', fill: 'before' },
  { name: '32 rotary + 64 latent dims, 16 bits', fill: 'series0', rope: 32, rank: 64 },
  { name: '32 + 32, 16 bits', fill: 'series2', rope: 32, rank: 32 },
  {
    name: '32 + 32, latents in 4 bits, rotary keys in 8',
    fill: 'series1',
    rope: 32,
    rank: 32,
    bits: 4,
  },
];

export const BYTES_ROWS = MODELS.flatMap((model) =>
  FORMS.map((form) => {
    const bytes = bytesOf(model, form);
    const original = bytesOf(model, FORMS[0]);
    return { model: model.name, form: form.name, bytes, share: bytes / original };
  }),
);

function bytesOf({ layers, heads }, { rope, rank, bits }) {
  if (rope === undefined) return layers * 2 * heads * bytesPerToken(HALF, HEAD_DIM);
  const spec = (own) => (bits ? { method: 'affine', bits: own, axis: 'token' } : HALF);
  return layers * (bytesPerToken(spec(bits), heads * rank) + bytesPerToken(spec(8), heads * rope));
}

const [WIDTH, LEFT, BAR, GAP] = [760, 16, 16, 6];

export function drawBytes() {
  const parts = [];
  let y = 34;
  const most = Math.max(...BYTES_ROWS.map(({ bytes }) => bytes));
  for (const { name } of MODELS) {
    parts.push(text(LEFT, y, name, 'ink', ' font-weight="600"'));
    y += 10;
    for (const row of BYTES_ROWS.filter(({ model }) => model === name)) {
      const { fill } = FORMS.find((form) => form.name === row.form);
      const width = ((WIDTH - LEFT - 250) * row.bytes) / most;
      parts.push(
        `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" fill="var(--${fill})"/>`,
        text(
          LEFT + width + 8,
          y + 12,
          `${figure(row.bytes)} (${percent(row.share)})`,
          'ink',
          ' font-size="13"',
        ),
      );
      y += BAR + GAP;
    }
    y += 24;
  }
  let x = LEFT;
  for (const [index, { name, fill }] of FORMS.entries()) {
    if (index === 2) [x, y] = [LEFT, y + 22];
    parts.push(
      `<rect x="${x}" y="${y - 11}" width="12" height="12" rx="2" fill="var(--${fill})"/>`,
    );
    parts.push(text(x + 18, y, name, 'muted', ' font-size="13"'));
    x += 250;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 16}" font-family="system-ui, sans-serif" font-size="15" role="img" aria-labelledby="bytes-title bytes-desc">`,
    '<title id="bytes-title">Cache bytes a token of published models</title>',
    `<desc id="bytes-desc">${BYTES_ROWS.map((row) => `${row.model}, ${row.form}: ${figure(row.bytes)}`).join('. ')}.</desc>`,
    ...parts,
    '</svg>',
  ].join('\n');
}

const text = (x, y, content, color, rest = '') =>
  `<text x="${x.toFixed(1)}" y="${y}" fill="var(--${color})"${rest}>${content}</text>`;
const figure = (bytes) => bytes.toLocaleString('en-US');
const percent = (share) => `${(100 * share).toFixed(1)} %`;
