import { openSafetensors, writeSafetensors } from '@mha2mla/checkpoint';
import { atomicWriteFile, fileSource } from '@mha2mla/checkpoint/node';
import { VisionLanguageModel } from '@mha2mla/vlm-adapters';
import { Option } from 'commander';
import { openModelFolder } from '../../node/open-model';
import { useBackend } from '../../node/register-backends';
import { readModelInputs } from '../../trace/read-model-inputs';
import { type Trace, traceModel } from '../../trace/trace-model';
import { integer } from '../option-values';
import type { AddCommand } from '../program';
import { addRunOptions, type RunFlags } from '../shared-options';

interface Flags extends RunFlags {
  inputs: string;
  output: string;
  generate: number;
  attention: 'naive' | 'absorbed';
  json?: boolean;
}

/** `trace MODEL`: every intermediate of a prepared input, for comparing implementations. */
export const addTrace: AddCommand = (program, contextOf) => {
  addRunOptions(program.command('trace <model>'))
    .description('run a prepared input and store every intermediate')
    .requiredOption('--inputs <file>', 'safetensors with input_ids, pixel_values, …')
    .requiredOption('--output <file>', 'safetensors that gets the tensors')
    .option('--generate <n>', 'greedy tokens to add, never stopped', integer(0), 0)
    .addOption(
      new Option('--attention <form>', 'how all but the first token is computed')
        .choices(['naive', 'absorbed'])
        .default('naive'),
    )
    .addHelpText(
      'after',
      '\nExample:\n  mha2mla trace MODEL --inputs p0.safetensors --output trace.safetensors',
    )
    .action(async (folder: string, flags: Flags) => {
      const { terminal, signal, result } = contextOf(flags);
      await useBackend(flags.backend);
      const { source, close } = await openModelFolder(folder);
      try {
        const inputs = await readInputs(flags.inputs);
        const model = await VisionLanguageModel.load(source, {
          signal,
          onProgress: terminal.progress,
        });
        const { attention, generate } = flags;
        const trace = await traceModel(model, inputs, { attention, generate, signal });
        model.dispose();
        await writeTrace(flags.output, trace);
        const tensors = [...trace].map(([name, { shape }]) => ({ name, shape }));
        result({ tensors }, () =>
          tensors.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join('\n'),
        );
      } finally {
        await close();
      }
    });
};

async function readInputs(path: string) {
  const source = await fileSource(path, path);
  try {
    return await readModelInputs(await openSafetensors(source));
  } finally {
    await source.close();
  }
}

async function writeTrace(path: string, trace: Trace): Promise<void> {
  const entries = [...trace].map(([name, { shape, values }]) => ({
    name,
    dtype: values instanceof Float32Array ? ('F32' as const) : ('I32' as const),
    shape: [...shape],
  }));
  await atomicWriteFile(path, (sink) =>
    writeSafetensors(sink, entries, async ({ name }) => trace.get(name)!.values),
  );
}
