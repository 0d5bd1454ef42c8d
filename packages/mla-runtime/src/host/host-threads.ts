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

/**
 * Integers that threads share: of the job its number, its arena and how many lists of calls are not done,
 * whether one failed; then of each list the address, the number of calls and, until someone takes it,
 * the number of the job.
 */
const [JOB, ARENA, LEFT, FAILED, LISTS] = [0, 1, 2, 3, 4] as const;
const LIST = 3;

/** What a thread does. */
const THREAD = `
const { receiveMessageOnPort, workerData } = require('node:worker_threads');
const { control, module, port, index } = workerData;
const arenas = new Map();
const list = ${LISTS} + ${LIST} * index;
for (let job = 0; ; ) {
  Atomics.wait(control, ${JOB}, job);
  job = Atomics.load(control, ${JOB});
  for (let message; (message = receiveMessageOnPort(port)?.message); ) {
    const { id, memory } = message;
    if (!memory) arenas.delete(id);
    else arenas.set(id, { memory, exports: new WebAssembly.Instance(module, { env: { memory } }).exports });
  }
  if (Atomics.compareExchange(control, list + 2, job, 0) !== job) continue;
  try {
    const { memory, exports } = arenas.get(control[${ARENA}]);
    const calls = new Int32Array(memory.buffer, control[list], control[list + 1] * ${CALL});
    for (let i = 0; i < calls.length; i += ${CALL}) exports.attend(...calls.subarray(i, i + ${CALL}));
  } catch {
    Atomics.store(control, ${FAILED}, 1);
  }
  if (Atomics.sub(control, ${LEFT}, 1) === 1) Atomics.notify(control, ${LEFT});
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
      new SharedArrayBuffer((LISTS + LIST * count) * BYTES_PER_ELEMENT),
    );
    const module = compiledSharedModule();
    this.ports = Array.from({ length: count }, (_, index) => {
      const { port1, port2 } = new MessageChannel();
      const workerData = { control: this.control, module, port: port2, index };
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

  /** Threads, this one among them. */
  get size(): number {
    return this.count + 1;
  }

  /**
   * Make calls, those of a list by one thread. A thread that is late, as at its start, is not waited for:
   * this one makes its calls.
   * @param lists at most as many as there are threads.
   */
  run(arena: HostArena, lists: readonly (readonly AttendCall[])[]): void {
    const { control } = this;
    this.introduce(arena);
    const [own, ...others] = lists;
    const placed = others.map((calls) => placeCalls(arena, calls));
    const job = control[JOB]! + 1;
    control[ARENA] = arena.id;
    control[LEFT] = others.length;
    for (const [index, calls] of others.entries()) {
      control.set([placed[index]!, calls.length, job], LISTS + LIST * index);
    }
    Atomics.store(control, JOB, job);
    Atomics.notify(control, JOB);
    for (const call of own!) arena.module.attend(...call);
    for (const [index, calls] of others.entries()) {
      const ticket = LISTS + LIST * index + 2;
      if (Atomics.compareExchange(control, ticket, job, 0) !== job) continue;
      for (const call of calls) arena.module.attend(...call);
      Atomics.sub(control, LEFT, 1);
    }
    for (let left = Atomics.load(control, LEFT); left > 0; left = Atomics.load(control, LEFT)) {
      Atomics.wait(control, LEFT, left);
    }
    for (const at of placed) arena.release(at);
    if (Atomics.exchange(control, FAILED, 0) !== 0) {
      throw new Error('HostThreads: every thread must make its calls, got one that failed.');
    }
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
