/**
 * An interpreter of Jinja that comes to an end. The clock is read at every evaluation, and no value
 * grows so large that what lies between two readings takes long: texts, lists and what is nested in
 * them have a size, and what multiplies a text (a search, a replacement, a width) has a smaller one.
 */
import { type Environment, Interpreter } from '@huggingface/jinja';

type Evaluate = Interpreter['evaluate'];
type Value = ReturnType<Evaluate>;

/** What the checks below read of a syntax tree's nodes. */
interface Node {
  type: string;
  operator?: { value: string };
  left?: Node;
  operand?: Node;
  callee?: Node & { value?: unknown };
  filter?: Node;
}

interface Frame {
  node: Node | undefined;
  /** Size of the left operand, once it is known. */
  left: number;
}

/** A conversation of a thousand turns takes some 100 ms. */
const MAX_MS = 500;
/** Nothing between two readings takes so long: the process was stopped, or the machine asleep. */
const ASLEEP_MS = 2000;
/** So often that is believed. */
const SLEEPS = 3;
/** Some 128,000 tokens have half as many. */
const MAX_CHARACTERS = 1024 * 1024;
/** A loop's turn takes up to 10 µs, and an empty one reads no clock. */
export const MAX_ENTRIES = 10_000;
/** A million characters, each replaced by this many, take half a second and 128 MB. */
const MAX_ARGUMENT = 128;
/** What an entry of a list adds to its text, at least: quotes, comma, blanks. */
const ENTRY_CHARACTERS = 8;
/** Text of lists in lists is copied at every level: this allows some hundred. */
const NESTING = 1.125;

/** Filters whose work or result is as large as the text times their arguments. */
const MULTIPLYING = new Set<unknown>(['indent', 'join', 'replace', 'tojson']);

export class BoundedInterpreter extends Interpreter {
  private last = performance.now();
  private deadline = this.last + MAX_MS;
  private sleeps = SLEEPS;
  private readonly worked = workedMs();
  private readonly sizes = new WeakMap<object, number>();
  private frame: Frame = { node: undefined, left: 0 };

  override evaluate(statement: Parameters<Evaluate>[0], environment: Environment): Value {
    this.readClock();
    const outer = this.frame;
    this.frame = { node: statement, left: 0 };
    try {
      const result = super.evaluate(statement, environment);
      this.checkOperand(outer, statement, result);
      return result;
    } finally {
      this.frame = outer;
    }
  }

  private readClock(): void {
    const now = performance.now();
    const slept = now - this.last;
    this.last = now;
    if (slept > ASLEEP_MS && this.sleeps-- > 0) this.deadline += slept;
    if (now <= this.deadline) return;
    const left = MAX_MS - (workedMs() - this.worked);
    if (!(left > 0)) refuse(`end within ${MAX_MS} ms`);
    this.deadline = now + left;
  }

  /** Check a value against what the node above is going to do with it. */
  private checkOperand(outer: Frame, statement: Node | undefined, result: Value): void {
    const size = this.sizeOf(result);
    const { node } = outer;
    if (node?.operator?.value === 'in' || node?.operator?.value === 'not in') {
      if (statement === node.left) outer.left = size;
      else if (result.type === 'StringValue') checkArgument(outer.left);
    } else if (isArgument(node, statement)) {
      checkArgument(typeof result.value === 'number' ? Math.abs(result.value) : size);
    }
    // Kept, a method could be called where its arguments are not seen.
    const isMethod = statement?.type === 'MemberExpression' && result.type === 'FunctionValue';
    if (isMethod && node?.type !== 'CallExpression') refuse('call methods, not keep them');
  }

  /** Characters of a value's text, at most; what stands in it twice counts twice. */
  private sizeOf({ value: content, type }: Value): number {
    if (typeof content === 'string') return checkSize(content.length);
    if (!(Array.isArray(content) || content instanceof Map)) return 0;
    const known = this.sizes.get(content);
    if (known !== undefined) return known;
    const entries = content instanceof Map ? content.size : content.length;
    if (entries > MAX_ENTRIES) refuse(`make lists of at most ${MAX_ENTRIES} values`, entries);
    let size = 0;
    for (const [key, item] of content.entries()) {
      // The only value that changes: were it to hold itself, or be held, no size would last.
      if (item.type === 'NamespaceValue') refuse('keep namespaces out of lists');
      const keySize = typeof key === 'string' ? key.length : 0;
      size += ENTRY_CHARACTERS + keySize + Math.ceil(NESTING * this.sizeOf(item));
      checkSize(size);
    }
    if (type !== 'NamespaceValue') this.sizes.set(content, size);
    return size;
  }
}

/** Whether a child of a node is an argument of a method or of a multiplying filter. */
function isArgument(node: Node | undefined, child: Node | undefined): boolean {
  if (node?.type === 'CallExpression') {
    return child !== node.callee && node.callee?.type === 'MemberExpression';
  }
  return child !== node?.operand && MULTIPLYING.has(node?.filter?.callee?.value);
}

/** What the process has worked, where that is told: on a busy machine less than the clock says. */
function workedMs(): number {
  const used = globalThis.process?.cpuUsage?.();
  return used ? (used.user + used.system) / 1000 : Number.NaN;
}

function checkSize(size: number): number {
  if (size > MAX_CHARACTERS) refuse(`make at most ${MAX_CHARACTERS} characters`);
  return size;
}

function checkArgument(size: number): void {
  if (size > MAX_ARGUMENT) {
    refuse(`search, replace, join and indent by at most ${MAX_ARGUMENT} characters`, size);
  }
}

function refuse(what: string, got?: number): never {
  throw new RangeError(
    `chatTemplate: a template must ${what}${got === undefined ? '' : `, got ${got}`}.`,
  );
}
