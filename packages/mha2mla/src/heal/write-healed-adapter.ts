/** Write what healing trained as an adapter of Hugging Face PEFT, for the model that was healed. */
import type { VlmSource } from '@mha2mla/vlm-adapters';
import type { AdapterConfig } from '../adapter/adapter-config';
import { PREFIX } from '../adapter/adapter-keys';
import { writeAdapter } from '../adapter/write-adapter';
import { type ResultOutput, writeJson } from '../output/result-output';
import { storedNames } from './assert-healable';
import type { HealReport } from './heal-model';
import type { HealPlan } from './heal-options';
import { ADAPTER_PART, type TrainedAdapter } from './trained-adapter';
import { healingSection } from './write-healed';

/**
 * Write `adapter_model.safetensors`, `heal.json`, a card, and `adapter_config.json` last: a folder
 * without it is unfinished.
 * @param source the model that was healed.
 * @throws RangeError when the source does not store a module that was trained.
 */
export async function writeHealedAdapter(
  source: VlmSource,
  output: ResultOutput,
  adapter: TrainedAdapter,
  report: HealReport & { options: HealPlan },
): Promise<void> {
  const moduleOf = (parameter: string) => parameter.replace(ADAPTER_PART, '');
  const weights = new Set([...adapter.keys()].map((name) => `${moduleOf(name)}.weight`));
  const stored = storedNames(source, [...weights]);
  const storedModule = (module: string) =>
    stored.get(`${module}.weight`)!.slice(0, -'.weight'.length);
  const ranks = new Map<string, number>();
  const tensors = [...adapter].map(([parameter, { shape, values }]) => {
    const module = moduleOf(parameter);
    const part = parameter.slice(module.length);
    if (part === '.lora_A.weight') ranks.set(storedModule(module), shape[0]!);
    return { name: `${PREFIX}${storedModule(module)}${part}`, shape, read: async () => values };
  });
  await writeJson(output, 'heal.json', report);
  const base = source.store.name;
  const card = new TextEncoder().encode(adapterCard(base, report));
  await output.write('README.md', (sink) => sink.write(card));
  await writeAdapter(output, configOf(report.options, ranks), tensors, base);
}

/** @param ranks of the modules; what is narrower than r has its own, at the scale of the others. */
function configOf(
  { r, loraAlpha, adapter }: HealPlan,
  ranks: ReadonlyMap<string, number>,
): AdapterConfig {
  const useRslora = adapter === 'rslora';
  const narrow = [...ranks].filter(([, rank]) => rank !== r);
  const alpha = (rank: number) => loraAlpha * (useRslora ? Math.sqrt(rank / r) : rank / r);
  return {
    r,
    loraAlpha,
    useRslora,
    useDora: adapter === 'dora',
    loraDropout: 0,
    targetModules: [...ranks.keys()],
    rankPattern: new Map(narrow),
    alphaPattern: new Map(narrow.map(([module, rank]) => [module, alpha(rank)])),
  };
}

function adapterCard(baseFolder: string, report: HealReport & { options: HealPlan }): string {
  const base = baseFolder.split(/[\\/]/).filter(Boolean).at(-1) ?? baseFolder;
  return [
    '---',
    'library_name: peft',
    `base_model: ${JSON.stringify(base)}`,
    'tags: [mha2mla, mla, vision-language, lora]',
    '---',
    `# An adapter that heals ${base}`,
    '',
    ...healingSection(report),
    '## Use',
    '```sh',
    `npx mha2mla generate ${JSON.stringify(base)} --adapter-folder FOLDER --prompt "What is in the picture?" --image picture.png`,
    '```',
    '',
  ].join('\n');
}
