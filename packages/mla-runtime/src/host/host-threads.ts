/**
 * Threads of Node that make calls of `attend` beside this one, which waits for them. They sleep between
 * jobs, end with the process, and do not keep it from ending.
 */
import { HostArena } from './host-arena';
import { type AttendCall, compiledSharedModule } from './host-module';

/** Integers of a call. */
const CALL = 21;
/** Threads beyond which memory is what a step waits for. */
const MOST = 8;

/** Lists of calls a thread, so that one that is late or slow leaves more of them to the others. */
const LISTS_A_THREAD = 4;

/** Times to look whether others are done, a few ns each, before sleeping until they are. */
const LOOKS = 2 ** 12;

/**
 * Integers that threads share: the number of the job, its arena, how many of its lists of calls no one has
 * taken (or fewer than none), how many are not done, whether one failed; then of each list the number of
 * calls and its address.
 */
const [JOB, ARENA, UNTAKEN, UNDONE, FAILED, LISTS] = [0, 1, 2, 3, 4, 5] as const;
const LIST = 2;

/** What a thread does. A list once taken, its job is there until the list is done. */
const THREAD = `
const { receiveMessageOnPort, workerData } = require('node:worker_threads');
const { control, module, port } = workerData;
const arenas = new Map();
const hear = () => {
  for (let message; (message = receiveMessageOnPort(port)?.message); ) {
    const { id, memory } = message;
    if (!memory) arenas.delete(id);
    else arenas.set(id, new WebAssembly.Instance(module, { env: { memory } }).exports);
  }
};
for (let job = 0; ; ) {
  Atomics.wait(control, ${JOB}, job);
  job = Atomics.load(control, ${JOB});
  for (let taken; (taken = Atomics.sub(control, ${UNTAKEN}, 1)) > 0; ) {
    try {
      hear();
      const list = ${LISTS} + ${LIST} * (taken - 1);
      arenas.get(control[${ARENA}]).attend_all(control[list], control[list + 1]);
    } catch {
      Atomics.store(control, ${FAILED}, 1);
    }
    if (Atomics.sub(control, ${UNDONE}, 1) === 1) Atomics.notify(control, ${UNDONE});
  }
}`;

interface Port {
  postMessage(message: unknown): void;
  unref(): void;
}

interface Node {
  Worker: new (code: string, options: object) => { unref(): void };
  MessageChannel: new () => { port1: Port; port2: Port };
}

export class HostThreads {
  private readonly control: Int32Array;
  private readonly ports: Port[];
  private readonly known = new Set<number>();

  private constructor(
    { Worker, MessageChannel }: Node,
    /** Threads besides this one. */
    private readonly count: number,
  ) {
    const { BYTES_PER_ELEMENT } = Int32Array;
    this.control = new Int32Array(
      new SharedArrayBuffer((LISTS + LIST * this.mostLists) * BYTES_PER_ELEMENT),
    );
    const module = compiledSharedModule();
    this.ports = Array.from({ length: count }, () => {
      const { port1, port2 } = new MessageChannel();
      const workerData = { control: this.control, module, port: port2 };
      new Worker(THREAD, { eval: true, execArgv: [], workerData, transferList: [port2] }).unref();
      port1.unref();
      return port1;
    });
    HostArena.onForget((id) => {
      if (this.known.delete(id)) for (const port of this.ports) port.postMessage({ id });
    });
  }

  /** As many as tfjs-node's library takes; `undefined` where there are none. */
  static open(): HostThreads | undefined {
    const { process } = globalThis as { process?: NodeJS.Process };
    const [threads, os] = ['node:worker_threads', 'node:os'].map((name) =>
      process?.getBuiltinModule?.(name as 'node:os'),
    );
    if (!threads || !os) return undefined;
    const asked = Number(process!.env.TF_NUM_INTRAOP_THREADS);
    const count = Math.min(asked > 0 ? asked : os.availableParallelism(), MOST) - 1;
    return count > 0 ? new HostThreads(threads as unknown as Node, count) : undefined;
  }

  /** Most lists of calls that {@link run} takes. */
  get mostLists(): number {
    return LISTS_A_THREAD * (this.count + 1);
  }

  /**
   * Make calls, those of a list one after another. Whoever is free takes the last list that is left, this
   * thread too: one that is late, as at its start, is not waited for.
   * @param lists at most {@link mostLists}.
   */
  run(arena: HostArena, lists: readonly (readonly AttendCall[])[]): void {
    const { control } = this;
    this.introduce(arena);
    const placed = lists.map((calls) => placeCalls(arena, calls));
    control[ARENA] = arena.id;
    for (const [i, calls] of lists.entries()) {
      control.set([calls.length, placed[i]!], LISTS + LIST * i);
    }
    Atomics.store(control, UNDONE, lists.length);
    Atomics.store(control, UNTAKEN, lists.length);
    Atomics.add(control, JOB, 1);
    Atomics.notify(control, JOB);
    for (let taken = this.take(); taken > 0; taken = this.take()) {
      arena.module.attend_all(lists[taken - 1]!.length, placed[taken - 1]!);
      Atomics.sub(control, UNDONE, 1);
    }
    const undone = () => Atomics.load(control, UNDONE);
    // The last lists are short: to be woken takes longer than to look again.
    for (let i = 0; i < LOOKS && undone() > 0; i++);
    for (let left = undone(); left > 0; left = undone()) Atomics.wait(control, UNDONE, left);
    for (const at of placed) arena.release(at);
    if (Atomics.exchange(control, FAILED, 0) !== 0) {
      throw new Error('HostThreads: every thread must make its calls, got one that failed.');
    }
  }

  /** @returns the place, from 1 on, of a list that no one else has; 0 or less if there is none. */
  private take(): number {
    return Atomics.sub(this.control, UNTAKEN, 1);
  }

  /** Show an arena to the threads that do not know it. */
  private introduce(arena: HostArena): void {
    const { id, memory } = arena;
    if (this.known.has(id)) return;
    this.known.add(id);
    for (const port of this.ports) port.postMessage({ id, memory });
  }
}

function placeCalls(arena: HostArena, calls: readonly AttendCall[]): number {
  const at = arena.allocate(calls.length * CALL * Int32Array.BYTES_PER_ELEMENT);
  const list = arena.integers(at, calls.length * CALL);
  for (const [i, call] of calls.entries()) list.set(call, i * CALL);
  return at;
}
