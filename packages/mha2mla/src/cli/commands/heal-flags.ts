/** The options of `heal`. */
import type { VlmSource } from '@mha2mla/vlm-adapters';
import { type Command, Option } from 'commander';
import { ADAPTERS } from '../../heal/attach-adapters';
import { type HealOptions, type HealPlan, LAYER_INPUTS, RECIPES } from '../../heal/heal-options';
import { fileDigest } from '../../node/file-digest';
import { modelDigest } from '../../node/open-model';
import type { CommonFlags } from '../context';
import { addEngineOptions, type EngineFlags } from '../engine-options';
import { integer, nonNegative, pattern, positive } from '../option-values';
import { addRunOptions, type RunFlags } from '../shared-options';

export interface HealFlags extends RunFlags, EngineFlags, CommonFlags {
  data: string;
  teacher: string;
  limit?: number;
  recipe?: HealOptions['recipe'];
  layerInputs?: HealOptions['layerInputs'];
  rank?: number;
  spillAbove: number;
  policy?: string;
  adapter?: HealOptions['adapter'];
  biases?: boolean;
  r?: number;
  loraAlpha?: number;
  steps?: number;
  batch?: number;
  lr?: number;
  kd?: number;
  hidden?: number;
  mix?: number;
  holdOut?: number;
  patience?: number;
  checkpoint?: boolean;
  merge: boolean;
  dryRun?: boolean;
  resume?: boolean;
}

export function addHealOptions(command: Command): Command {
  return addEngineOptions(addRunOptions(command))
    .requiredOption('--data <data>', 'conversations to train on')
    .requiredOption('--teacher <original>', 'the model that was converted')
    .option('--limit <n>', 'most conversations', integer(1))
    .addOption(
      new Option(
        '--recipe <name>',
        'all layers at once, one after the other, or with latents that get narrower in stages',
      ).choices(RECIPES),
    )
    .addOption(
      new Option(
        '--layer-inputs <whose>',
        "what a layer learns on with --recipe layerwise: what the student's layers before it give (the default), or the teacher's own",
      ).choices(LAYER_INPUTS),
    )
    .option('--rank <n>', 'latent dims a KV head that --recipe progressive ends with', integer(1))
    .option(
      '--policy <name>',
      'what is trained: v2 to v6, as the reference has them, or a regular expression of whole names of linear maps',
      pattern,
    )
    .addOption(
      new Option('--adapter <kind>', 'what learns; with none the maps themselves').choices(
        ADAPTERS,
      ),
    )
    .option('--no-biases', 'leave the biases of these maps as they are')
    .option('--r <n>', 'width of the adapters', integer(1))
    .option('--lora-alpha <x>', 'their scale times r', positive())
    .option('--steps <n>', 'updates', integer(1))
    .option('--batch <n>', 'pictures an update, each with the questions about it', integer(1))
    .option('--lr <rate>', 'learning rate', positive())
    .option('--kd <weight>', "of the distillation from the original's logits", nonNegative())
    .option(
      '--hidden <weight>',
      "of the distance of the layers' outputs to the original's",
      nonNegative(),
    )
    .option(
      '--mix <share>',
      "of an update's pictures that are made of halves of others, and only distilled",
      nonNegative(1),
    )
    .option(
      '--hold-out <share>',
      'of the pictures that are not trained on but tell when to stop',
      nonNegative(1),
    )
    .option(
      '--patience <n>',
      'looks at them, every 25 updates, without a lower loss before the run stops',
      integer(1),
    )
    .option('--checkpoint', 'one layer at a time on the tape: less memory, a second forward pass')
    .option(
      '--spill-above <MiB>',
      'hidden states that stay in memory with --recipe layerwise; the rest lies on disk',
      nonNegative(),
      1024,
    )
    .option(
      '--workers <n>',
      'threads that share the work of an update; default one a core, or as many as 3 GiB hold the models; or those of --engine threads',
      integer(1),
    )
    .option('--merge', 'write the model with what was trained folded in', true)
    .option(
      '--no-merge',
      'write the adapter instead, as Hugging Face PEFT does (eval, generate and trace take it as --adapter-folder); LoRA or DoRA only',
    )
    .option('--dry-run', 'tell time, memory and disk from two updates, and write nothing')
    .option('--resume', 'go on with an unfinished run');
}

export function healOptions(flags: HealFlags): HealOptions {
  const { recipe, layerInputs, rank, adapter, biases, r, loraAlpha, steps } = flags;
  const { kd, hidden, mix, holdOut, patience, seed } = flags;
  return {
    ...{ recipe, layerInputs, rank, adapter, biases, r, loraAlpha, steps },
    ...{ kd, hidden, mix, holdOut, patience, seed },
    checkpoint: flags.checkpoint,
    batchSize: flags.batch,
    learningRate: flags.lr,
    targetModules: flags.policy,
  };
}

/** What decides the result, by the names that the user knows. */
export async function healFingerprint(
  source: VlmSource,
  original: VlmSource,
  { data, limit, merge }: HealFlags,
  plan: HealPlan,
): Promise<Record<string, unknown>> {
  const {
    recipe,
    layerInputs,
    rank,
    adapter,
    biases,
    r,
    loraAlpha,
    steps,
    kd,
    hidden,
    mix,
    holdOut,
    patience,
    seed,
    batchSize,
    learningRate,
    targetModules,
    checkpoint: _, // gives the same bits
    ...rest
  } = plan;
  return {
    command: 'heal',
    MODEL: modelDigest(source),
    '--teacher': modelDigest(original),
    '--data': await fileDigest(data),
    '--limit': limit,
    '--policy': targetModules,
    '--recipe': recipe,
    '--layer-inputs': layerInputs,
    '--rank': rank,
    '--adapter': adapter,
    '--biases': biases,
    '--r': r,
    '--lora-alpha': loraAlpha,
    '--steps': steps,
    '--batch': batchSize,
    '--lr': learningRate,
    '--kd': kd,
    '--hidden': hidden,
    '--mix': mix,
    '--hold-out': holdOut,
    '--patience': patience,
    '--merge': merge,
    '--seed': seed,
    defaults: rest,
  };
}
