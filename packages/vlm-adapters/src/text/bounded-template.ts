/**
 * A Jinja template that comes to an end, whatever its author had in mind: its length is bounded
 * here, its running in `BoundedInterpreter`.
 */

import { Environment, parse, tokenize } from '@huggingface/jinja';
import { escapeUnprintable } from '@mha2mla/checkpoint';
import { BoundedInterpreter, MAX_ENTRIES } from './bounded-interpreter';

/** Published templates are below 20 KB. */
const MAX_TEMPLATE_CHARS = 256 * 1024;
/** The lexer's search for generation tags takes time in the square of a run of white space. */
const MAX_BLANK_RUN = 256;

/** Compile a template. @returns a function from variables to text. @throws RangeError, both. */
export function boundedTemplate(source: string): (variables: Record<string, unknown>) => string {
  if (source.length > MAX_TEMPLATE_CHARS) {
    throw new RangeError(
      `chatTemplate: a template must have at most ${MAX_TEMPLATE_CHARS} characters, got ${source.length}.`,
    );
  }
  if (new RegExp(`\\s{${MAX_BLANK_RUN + 1}}`).test(source)) {
    throw new RangeError(
      `chatTemplate: a template must have at most ${MAX_BLANK_RUN} blanks in a row, got more.`,
    );
  }
  const program = orOurError(() =>
    parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true })),
  );
  return (variables) => {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) {
      environment.set(name, value);
    }
    return orOurError(() => new BoundedInterpreter(environment).run(program).toString());
  };
}

/** The library throws errors of all kinds, a full stack among them. */
function orOurError<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    if (message.startsWith('chatTemplate: ')) throw cause;
    throw new RangeError(
      `chatTemplate: a template must be Jinja that runs, got: ${escapeUnprintable(message.slice(0, 500))}`,
      { cause },
    );
  }
}

/**
 * What transformers gives to templates. `strftime_now` is left out, since it makes no two prompts
 * alike: templates that ask whether it is defined fall back to a date of their own.
 */
const GLOBALS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception(message: unknown): never {
    throw new RangeError(
      `chatTemplate: the template says: ${escapeUnprintable(String(message).slice(0, 500))}`,
    );
  },
  range: boundedRange,
};

/** Python's range, up to a number of values. */
function boundedRange(first: number, last?: number | null, step = 1): number[] {
  const [start, stop] = last === undefined || last === null ? [0, first] : [first, last];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= MAX_ENTRIES)) {
    throw new RangeError(
      `chatTemplate: a range must have at most ${MAX_ENTRIES} values, got ${length}.`,
    );
  }
  return Array.from({ length }, (_, i) => start + i * step);
}
