import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { ConversionReport } from './conversion-report';

/** The README.md of a converted model: where it comes from, what was done, how to load it. */
export function modelCard({ store, family }: VlmSource, report: ConversionReport): string {
  const { original, converted } = report.cacheBytesPerToken;
  const base = store.name.split(/[\\/]/).filter(Boolean).at(-1) ?? family.name;
  const options = Object.entries(report.options)
    .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)])
    .filter(([, text]) => text !== undefined && text !== '{}')
    .map(([name, text]) => `- ${name}: ${text}`);
  return [
    '---',
    'library_name: mha2mla',
    `base_model: ${JSON.stringify(base)}`,
    'tags: [mha2mla, mla, vision-language]',
    '---',
    `# ${base}, converted to multi-head latent attention`,
    '',
    `A ${family.name} model whose attention was turned into MLA by mha2mla (method: MHA2MLA-VLM, arXiv 2601.11464).`,
    `Its cache takes ${converted} bytes a token, where the original takes ${original} in 16 bits (${((100 * converted) / original).toFixed(1)} %).`,
    '',
    '## Options',
    ...options,
    '',
    '## Use',
    '```sh',
    'npx mha2mla generate FOLDER --prompt "What is in the picture?" --image picture.png',
    '```',
    '',
    'The errors of each layer are in `report.json`.',
    '',
  ].join('\n');
}
