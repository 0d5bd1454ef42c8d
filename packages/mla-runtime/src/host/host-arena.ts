/**
 * Memory of ours that the loops of {@link HostModule} work on, shared with threads. What is freed is
 * used again; the memory itself goes with the arena.
 */
import { type HostModule, sharedModule } from './host-module';

const PAGE = 65536;
/** The end of what a module can address. */
const MOST_PAGES = 65536;
/** Of what is allocated, so that no two threads write one line of the processor's cache. */
const ALIGNMENT = 64;

interface Span {
  at: number;
  bytes: number;
}

/** Bytes of an arena beyond which it is not kept for others once it is idle. */
const KEPT = 2 ** 26;

let count = 0;
/** In use, or kept for others. */
const arenas = new Set<HostArena>();
const forgetters = new Set<(id: number) => void>();

export class HostArena {
  /** By which threads know it. */
  readonly id = ++count;
  readonly memory = new WebAssembly.Memory({ initial: 1, maximum: MOST_PAGES, shared: true });
  readonly module: HostModule = sharedModule(this.memory);
  /** Between what is in use, in the order of addresses, never two side by side. 0 is no address. */
  private readonly free: Span[] = [{ at: ALIGNMENT, bytes: PAGE - ALIGNMENT }];
  private readonly used = new Map<number, number>();

  /** One that holds nothing. It may come to be shared, if its taker does not use it before others take one. */
  static take(): HostArena {
    const idle = [...arenas].find(({ used }) => used.size === 0);
    return idle ?? new HostArena();
  }

  /** Be told of arenas that are idle for good. */
  static onForget(forget: (id: number) => void): void {
    forgetters.add(forget);
  }

  /**
   * @returns the address of so many bytes, whose values are undefined; 0 of none.
   * @throws RangeError where the memory ends.
   */
  allocate(bytes: number): number {
    if (bytes === 0) return 0;
    const size = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    let index = this.free.findIndex((span) => span.bytes >= size);
    if (index < 0) index = this.grow(size);
    const span = this.free[index]!;
    const { at } = span;
    span.at += size;
    span.bytes -= size;
    if (span.bytes === 0) this.free.splice(index, 1);
    this.used.set(at, size);
    arenas.add(this);
    return at;
  }

  release(at: number): void {
    const bytes = this.used.get(at);
    if (bytes === undefined) return;
    this.used.delete(at);
    this.giveBack({ at, bytes });
    if (this.used.size > 0 || this.memory.buffer.byteLength <= KEPT) return;
    arenas.delete(this);
    for (const forget of forgetters) forget(this.id);
  }

  /** Values at an address, until the memory grows. */
  values(at: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, at, length);
  }

  integers(at: number, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, at, length);
  }

  /** @returns the index of the last span, which then has so many bytes. */
  private grow(bytes: number): number {
    const end = this.memory.buffer.byteLength;
    const last = this.free.at(-1);
    const spare = last && last.at + last.bytes === end ? last.bytes : 0;
    const pages = Math.ceil((bytes - spare) / PAGE);
    try {
      this.memory.grow(pages);
    } catch {
      const gibibytes = ((end + bytes) / 2 ** 30).toFixed(1);
      throw new RangeError(
        `HostArena: the cache of a layer must fit into 4 GiB of the memory that there is, got ${gibibytes} GiB. Keep fewer tokens or rows, or quantize the cache with kvBits.`,
      );
    }
    this.giveBack({ at: end, bytes: pages * PAGE });
    return this.free.length - 1;
  }

  private giveBack(span: Span): void {
    const next = this.free.findIndex(({ at }) => at > span.at);
    const index = next < 0 ? this.free.length : next;
    this.free.splice(index, 0, span);
    this.join(index);
    if (index > 0) this.join(index - 1);
  }

  /** Make one span of that at an index and the next, where they touch. */
  private join(index: number): void {
    const [span, next] = [this.free[index]!, this.free[index + 1]];
    if (!next || span.at + span.bytes !== next.at) return;
    span.bytes += next.bytes;
    this.free.splice(index + 1, 1);
  }
}
