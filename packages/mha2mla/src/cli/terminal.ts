/**
 * The one owner of the terminal. Results go to standard output; progress and log lines to standard
 * error, as a bar on a terminal and as plain lines elsewhere, so that neither overwrites the other.
 */
import { printableLine } from './printable';
import { createBar } from './progress-bar';

export interface Progress {
  /** What is being done, such as `convert`. */
  phase: string;
  loaded: number;
  total: number;
}

export interface Terminal {
  /** Say something beside the results. */
  log(line: string): void;
  /** Show how far a phase has come; another phase ends the one before it. */
  progress(progress: Progress): void;
  /** Write part of a result; it ends the phase that led to it. */
  write(text: string): void;
  /** End the phase that is shown, with its seconds, and the line that was begun. */
  end(): void;
}

export interface TerminalOptions {
  stdout: NodeJS.WritableStream;
  stderr: NodeJS.WritableStream & { isTTY?: boolean };
  /** No progress. */
  quiet?: boolean;
}

/** Plain lines at most every so often: a log that a person reads later. */
const LINE_EVERY_MS = 5000;
/** Below this nobody needs to hear how long a phase took. */
const SILENT_MS = 1000;

export function createTerminal({ stdout, stderr, quiet = false }: TerminalOptions): Terminal {
  const bar = stderr.isTTY && !quiet ? createBar(stderr) : undefined;
  let current: { phase: string; started: number; printed: number } | undefined;
  let lineBegun = false;
  const show = (text: string) => {
    if (text === '') return;
    stdout.write(text);
    lineBegun = !text.endsWith('\n');
  };
  const log = (line: string) => {
    bar?.clear();
    if (lineBegun) show('\n');
    stderr.write(`${printableLine(line)}\n`);
  };
  const endPhase = () => {
    bar?.clear();
    const finished = current;
    current = undefined;
    if (!finished || quiet) return;
    const elapsed = performance.now() - finished.started;
    if (elapsed >= SILENT_MS) log(`${finished.phase}: ${(elapsed / 1000).toFixed(1)} s`);
  };
  return {
    log,
    write(text) {
      endPhase();
      show(text);
    },
    end() {
      endPhase();
      if (lineBegun) show('\n');
    },
    progress({ phase, loaded, total }) {
      const now = performance.now();
      if (current?.phase !== phase) {
        endPhase();
        current = { phase, started: now, printed: now };
      }
      if (bar) bar.draw(phase, loaded, total);
      else if (!quiet && now - current.printed >= LINE_EVERY_MS && loaded < total) {
        current.printed = now;
        log(`${phase}: ${loaded} of ${total}`);
      }
    },
  };
}
