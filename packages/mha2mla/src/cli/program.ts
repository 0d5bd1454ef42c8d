/** The commands and their options. */
import { Command } from 'commander';
import { addBench } from './commands/bench';
import { addConvert } from './commands/convert';
import { addEval } from './commands/eval';
import { addGenerate } from './commands/generate';
import { addHeal } from './commands/heal';
import { addInspect } from './commands/inspect';
import { addReport } from './commands/report';
import { addStatus } from './commands/status';
import { addTrace } from './commands/trace';
import { addWorker } from './commands/worker';
import type { CommonFlags, Context } from './context';
import { failureLine } from './failure';
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
  addBench,
  addReport,
  addWorker,
  addStatus,
];

export function createProgram(contextOf: ContextOf, streams: CliStreams): Command {
  const program = new Command('mha2mla')
    .description(
      'Turn vision-language models into multi-head latent attention (MLA) and run them.\nMODEL is a Hugging Face folder, original or converted; DATA a JSON or JSONL file of conversations.',
    )
    .addHelpText('after', '\nExample:\n  mha2mla inspect MODEL')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => streams.stdout.write(text),
      writeErr: (text) => streams.stderr.write(text),
      outputError: usageFailure('mha2mla'),
    });
  // Commands take over what the program has, so it is set up before they are added.
  for (const add of COMMANDS) add(program, contextOf, streams);
  for (const command of program.commands) {
    command
      .configureOutput({ outputError: usageFailure(`mha2mla ${command.name()}`) })
      .option('--json', 'print one JSON document, and nothing else, on standard output')
      .option('--quiet', 'no progress');
  }
  return program;
}

/** What commander has to say of a command line, in one line. */
function usageFailure(command: string) {
  return (text: string, write: (text: string) => void) => {
    const what = text
      .replace(/^error: /, '')
      .trim()
      .replace(/\.$/, '');
    write(`${failureLine(`${what}. See ${command} --help.`)}\n`);
  };
}
