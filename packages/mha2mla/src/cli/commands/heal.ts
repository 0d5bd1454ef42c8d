import { openSafetensors } from '@mha2mla/checkpoint';
import { assertWritableTarget } from '@mha2mla/checkpoint/node';
import { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { type HealReport, healModel } from '../../heal/heal-model';
import { type HealOptions, planHealing } from '../../heal/heal-options';
import { readState, writeState } from '../../heal/heal-state';
import { writeHealed } from '../../heal/write-healed';
import { fileDigest } from '../../node/file-digest';
import { folderOutput } from '../../node/folder-output';
import { loadQuestions } from '../../node/load-data';
import { modelDigest, openModelFolder } from '../../node/open-model';
import { useBackend } from '../../node/register-backends';
import { resumeCommand } from '../../node/resume-command';
import { integer, number } from '../option-values';
import type { AddCommand } from '../program';
import { addRunOptions, type RunFlags } from '../shared-options';
import { asUsage, UsageError } from '../usage-error';

interface Flags extends RunFlags {
  data: string;
  teacher: string;
  limit?: number;
  policy?: string;
  r?: number;
  loraAlpha?: number;
  steps?: number;
  batch?: number;
  lr?: number;
  kd?: number;
  hidden?: number;
  resume?: boolean;
  json?: boolean;
}

const STATE = 'heal-state.safetensors';
/** Updates between two saved states: a kill loses at most these. */
const SAVE_EVERY = 25;

/** `heal MODEL OUT`: parameter-efficient fine-tuning of a converted model. */
export const addHeal: AddCommand = (program, contextOf) => {
  addRunOptions(program.command('heal <model> <out>'))
    .description('train adapters on a converted model, and merge them')
    .requiredOption('--data <data>', 'conversations to train on')
    .requiredOption('--teacher <original>', 'the model that was converted')
    .option('--limit <n>', 'most conversations', integer(1))
    .option('--policy <pattern>', 'linear maps to adapt: a regular expression of whole names')
    .option('--r <n>', 'width of the adapters', integer(1))
    .option('--lora-alpha <x>', 'their scale times r', number(Number.MIN_VALUE))
    .option('--steps <n>', 'updates', integer(1))
    .option('--batch <n>', 'conversations an update', integer(1))
    .option('--lr <rate>', 'learning rate', number(Number.MIN_VALUE))
    .option('--kd <weight>', "of the distillation from the original's logits", number(0))
    .option(
      '--hidden <weight>',
      "of the distance of the layers' outputs to the original's",
      number(0),
    )
    .option('--resume', 'go on with an unfinished run')
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla heal CONVERTED OUT --data heal.jsonl --teacher MODEL',
    )
    .action(async (folder: string, out: string, flags: Flags) => {
      const { terminal, signal, result, resumeLine } = contextOf(flags);
      await assertWritableTarget(out, { resume: flags.resume });
      const plan = asUsage(() => planHealing(optionsOf(flags)));
      const { source, close } = await openModelFolder(folder);
      const original = await openModelFolder(flags.teacher);
      try {
        if (!source.config.decoder.mla || original.source.config.decoder.mla) {
          throw new UsageError(
            'heal: MODEL must be a converted model and --teacher its original, got them the other way round or twice the same. Convert first.',
          );
        }
        await useBackend(flags.backend);
        const questions = await loadQuestions(flags.data, flags.limit);
        const processor = await source.family.loadProcessor(source.config, source.store);
        const fingerprint = {
          command: 'heal',
          model: modelDigest(source),
          teacher: modelDigest(original.source),
          data: await fileDigest(flags.data),
          limit: flags.limit,
          options: plan,
        };
        const output = await folderOutput(out, { resume: flags.resume ?? false, fingerprint });
        resumeLine(resumeCommand());
        try {
          const load = { signal, onProgress: terminal.progress };
          const student = await VisionLanguageModel.load(source, load);
          const teacher = await VisionLanguageModel.load(original.source, load);
          const from = (await output.has(STATE))
            ? await readState(await openSafetensors(await output.read(STATE)))
            : undefined;
          const healed = await healModel({
            student,
            teacher: teacher.decoder,
            processor,
            questions,
            plan,
            from,
            save: (state) => output.write(STATE, (sink) => writeState(sink, state)),
            saveEvery: SAVE_EVERY,
            signal,
            onProgress: terminal.progress,
          });
          student.dispose();
          teacher.dispose();
          await writeHealed(source, output, healed.merged, { ...healed.report, options: plan });
          await output.finish([STATE]);
          const { losses, ...report } = healed.report;
          result(report, () => describe(healed.report));
        } finally {
          await output.close();
        }
      } finally {
        await close();
        await original.close();
      }
    });
};

function optionsOf(flags: Flags): HealOptions {
  const { r, loraAlpha, steps, kd, hidden, seed } = flags;
  return {
    r,
    loraAlpha,
    steps,
    kd,
    hidden,
    seed,
    batchSize: flags.batch,
    learningRate: flags.lr,
    targetModules: flags.policy,
  };
}

/** Loss lines in the log: enough to see the curve. */
const LINES = 10;

function describe({ losses, trainableShare, loss }: HealReport): string {
  const every = Math.max(1, Math.ceil(losses.length / LINES));
  const lines = losses.flatMap((value, step) =>
    step % every === 0 ? [`  update ${step + 1}: loss ${value.toFixed(4)}`] : [],
  );
  return [
    ...lines,
    `${losses.length} updates of ${(100 * trainableShare).toFixed(1)} % of the weights, loss ${loss.first.toFixed(4)} -> ${loss.last.toFixed(4)}`,
  ].join('\n');
}
