/**
 * The one owner of the terminal. Results go to standard output; progress and log lines to standard
 * error, as a bar on a terminal and as plain lines elsewhere, so that neither overwrites the other.
 */
import cliProgress from 'cli-progress';
import { printable } from './printable';

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
  /** Write part of a result. */
  write(text: string): void;
  /** End the phase that is shown, with its seconds. */
  end(): void;
}

export interface TerminalOptions {
  stdout: NodeJS.WritableStream;
  stderr: NodeJS.WritableStream & { isTTY?: boolean };
  quiet?: boolean;
}

/** Plain lines at most every so often: a log that a person reads later. */
const LINE_EVERY_MS = 5000;
/** Below this nobody needs to hear how long a phase took. */
const SILENT_MS = 1000;

export function createTerminal({ stdout, stderr, quiet = false }: TerminalOptions): Terminal {
  const bar = stderr.isTTY && !quiet ? createBar(stderr) : undefined;
  let current: { phase: string; started: number; printed: number } | undefined;
  const log = (line: string) => {
    if (quiet) return;
    bar?.clear();
    stderr.write(`${printable(line)}\n`);
  };
  const end = () => {
    bar?.stop();
    const finished = current;
    current = undefined;
    if (!finished) return;
    const elapsed = performance.now() - finished.started;
    if (elapsed >= SILENT_MS) log(`${finished.phase}: ${(elapsed / 1000).toFixed(1)} s`);
  };
  return {
    log,
    end,
    write: (text) => {
      bar?.clear();
      stdout.write(text);
    },
    progress({ phase, loaded, total }) {
      const now = performance.now();
      if (current?.phase !== phase) {
        end();
        current = { phase, started: now, printed: now };
      }
      if (bar) bar.draw(phase, loaded, total);
      else if (now - current.printed >= LINE_EVERY_MS && loaded < total) {
        current.printed = now;
        log(`${phase}: ${loaded} of ${total}`);
      }
    },
  };
}

function createBar(stream: NodeJS.WritableStream) {
  const options = {
    stream,
    clearOnComplete: true,
    hideCursor: true,
    format: '{phase} {bar} {value}/{total}',
  };
  let bar: cliProgress.SingleBar | undefined;
  let shown = '';
  const stop = () => {
    bar?.stop();
    bar = undefined;
  };
  return {
    stop,
    /** Take the bar off the screen; the next draw brings it back. */
    clear: stop,
    draw(phase: string, loaded: number, total: number) {
      if (!bar || shown !== phase) {
        stop();
        bar = new cliProgress.SingleBar(options, cliProgress.Presets.shades_grey);
        bar.start(total, loaded, { phase });
        shown = phase;
      }
      bar.setTotal(total);
      bar.update(loaded, { phase });
    },
  };
}
