/** The commands and their options. */
import { Command } from 'commander';
import { addConvert } from './commands/convert';
import { addEval } from './commands/eval';
import { addGenerate } from './commands/generate';
import { addHeal } from './commands/heal';
import { addInspect } from './commands/inspect';
import { addTrace } from './commands/trace';
import type { CommonFlags, Context } from './context';
import type { CliStreams } from './run-cli';

/** Add a command's own options and action. */
export type AddCommand = (program: Command, contextOf: ContextOf, streams: CliStreams) => void;
export type ContextOf = (flags: CommonFlags) => Context;

const COMMANDS: readonly AddCommand[] = [
  addInspect,
  addConvert,
  addHeal,
  addEval,
  addGenerate,
  addTrace,
];

export function createProgram(contextOf: ContextOf, streams: CliStreams): Command {
  const program = new Command('mha2mla')
    .description(
      'Turn vision-language models into multi-head latent attention (MLA) and run them.\nMODEL is a Hugging Face folder, original or converted; DATA a JSON or JSONL file of conversations.',
    )
    .exitOverride()
    .showHelpAfterError(false)
    .configureOutput({
      writeOut: (text) => streams.stdout.write(text),
      writeErr: (text) => streams.stderr.write(text),
    });
  for (const add of COMMANDS) add(program, contextOf, streams);
  for (const command of program.commands) {
    command
      .copyInheritedSettings(program)
      .option('--json', 'print one JSON document, and nothing else, on standard output')
      .option('--quiet', 'no progress');
  }
  return program;
}
