import { openSafetensors, writeSafetensors } from '@mha2mla/checkpoint';
import { atomicWriteFile, fileSource } from '@mha2mla/checkpoint/node';
import { Option } from 'commander';
import { withModelFolder } from '../../node/open-model';
import { readModelInputs } from '../../trace/read-model-inputs';
import { type Trace, traceModel } from '../../trace/trace-model';
import { assertFilePlace } from '../assert-file-place';
import type { CommonFlags } from '../context';
import { integer } from '../option-values';
import type { AddCommand } from '../program';
import {
  type AdapterFlags,
  addAdapterOption,
  addMediaOptions,
  addRunOptions,
  type MediaFlags,
  type RunFlags,
} from '../shared-options';
import { withModel } from '../with-model';

interface Flags extends RunFlags, MediaFlags, AdapterFlags, CommonFlags {
  inputs: string;
  output: string;
  generate: number;
  attention: 'naive' | 'absorbed';
}

/** `trace MODEL`: every intermediate of a prepared input, for comparing implementations. */
export const addTrace: AddCommand = (program, contextOf) => {
  addMediaOptions(addAdapterOption(addRunOptions(program.command('trace <model>'))))
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
    .action((folder: string, flags: Flags) => {
      const context = contextOf(flags);
      const { signal, terminal, result } = context;
      const { attention, generate } = flags;
      return withModelFolder(folder, flags, async (source) => {
        await assertFilePlace('trace: --output', flags.output);
        const inputs = await readInputs(flags.inputs);
        await withModel(source, flags, context, async (model) => {
          terminal.progress({ phase: 'trace', loaded: 0, total: 1 });
          const trace = await traceModel(model, inputs, { attention, generate, signal });
          await writeTrace(flags.output, trace);
          const tensors = [...trace].map(([name, { shape }]) => ({ name, shape }));
          result({ tensors }, () =>
            tensors.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join('\n'),
          );
        });
      });
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
