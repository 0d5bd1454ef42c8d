/**
 * A Jinja template with bounds. A chat template is a program of the checkpoint's author, and
 * @huggingface/jinja runs loops without end and ranges of any length: here evaluation stops after a
 * number of steps, and no string or range grows beyond a cap. (A wall-clock limit needs a worker.)
 */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';

type Evaluate = Interpreter['evaluate'];

/** Published templates are below 20 KB. */
const MAX_TEMPLATE_CHARS = 256 * 1024;
/** The lexer's search for generation tags takes time in the square of a run of white space. */
const MAX_BLANK_RUN = 4096;
/** Characters of the output and of every value on the way: eight times a long context of text. */
const MAX_OUTPUT_CHARS = 4 * 1024 * 1024;
/** A conversation of a thousand turns takes some 50,000. */
const MAX_STEPS = 2_000_000;
const MAX_RANGE = 10_000;

const OWNER = 'chatTemplate';

/** Compile a template. @returns a function from variables to text. @throws RangeError, SyntaxError */
export function boundedTemplate(source: string): (variables: Record<string, unknown>) => string {
  if (source.length > MAX_TEMPLATE_CHARS) {
    throw new RangeError(
      `${OWNER}: a template must have at most ${MAX_TEMPLATE_CHARS} characters, got ${source.length}.`,
    );
  }
  if (source.split(/\S+/).some((blank) => blank.length > MAX_BLANK_RUN)) {
    throw new RangeError(`${OWNER}: a template must not have ${MAX_BLANK_RUN} blanks in a row.`);
  }
  const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  return (variables) => {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) {
      environment.set(name, value);
    }
    const { value } = new BoundedInterpreter(environment).run(program);
    if (typeof value !== 'string') {
      throw new TypeError(`${OWNER}: a template must give text, got ${typeof value}.`);
    }
    return value;
  };
}

class BoundedInterpreter extends Interpreter {
  private steps = 0;

  override evaluate(...[statement, environment]: Parameters<Evaluate>): ReturnType<Evaluate> {
    if (++this.steps > MAX_STEPS) {
      throw new RangeError(`${OWNER}: a template must end within ${MAX_STEPS} steps.`);
    }
    const result = super.evaluate(statement, environment);
    const { value } = result;
    const size = typeof value === 'string' || Array.isArray(value) ? value.length : 0;
    if (size > MAX_OUTPUT_CHARS) {
      throw new RangeError(
        `${OWNER}: a template must make at most ${MAX_OUTPUT_CHARS} characters, got ${size}.`,
      );
    }
    return result;
  }
}

/** What transformers gives to templates, less `strftime_now`, which makes no two prompts alike. */
const GLOBALS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception(message: unknown): never {
    throw new Error(`${OWNER}: the template says: ${String(message).slice(0, 500)}`);
  },
  range: boundedRange,
  strftime_now(): never {
    throw new RangeError(`${OWNER}: strftime_now is not supported.`);
  },
};

/** Python's range, up to a number of values. */
function boundedRange(first: number, last?: number, step = 1): number[] {
  const [start, stop] = last === undefined || last === null ? [0, first] : [first, last];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= MAX_RANGE)) {
    throw new RangeError(`${OWNER}: a range must have at most ${MAX_RANGE} values, got ${length}.`);
  }
  return Array.from({ length }, (_, i) => start + i * step);
}
