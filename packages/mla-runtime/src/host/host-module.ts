/**
 * Our loops in vector instructions (`native/src`), over a memory of WebAssembly: that of TensorFlow.js's
 * wasm backend, or one of ours. They bring no memory of their own.
 */
import * as tf from '@tensorflow/tfjs-core';
import { WASM_BASE64 } from './host.wasm';
import { WASM_BASE64 as RELAXED_BASE64 } from './host-relaxed.wasm';

type Address = number;

/** Many products of two matrices; which, `native/src/lib.rs` says. */
type Product = (
  count: number,
  rows: number,
  tokens: number,
  width: number,
  a: Address,
  b: Address,
  out: Address,
) => void;

export interface HostModule {
  readonly memory: WebAssembly.Memory;
  readonly dots: Product;
  readonly sums: Product;
  readonly attend: (...call: AttendCall) => void;
  /** Calls of `attend` by their arguments, integers of 4 bytes. */
  readonly attend_all: (count: number, calls: Address) => void;
  readonly share: (rows: number, parts: number, largest: Address, totals: Address) => void;
  readonly join: (
    rows: number,
    parts: number,
    width: number,
    factors: Address,
    shares: Address,
    sums: Address,
  ) => void;
}

/** Arguments of a call; what each is, `native/src/attend.rs` says. */
export type AttendCall = [
  rows: number,
  tokens: number,
  width: number,
  query: Address,
  vectors: Address,
  parts: number,
  keyWidth: number,
  turned: Address,
  keys: Address,
  keyStride: number,
  valueWidth: number,
  values: Address,
  bias: Address,
  offset: Address,
  offsetFirst: number,
  offsetRows: number,
  offsetStride: number,
  largest: Address,
  totals: Address,
  sums: Address,
  scratch: Address,
];

const IMPORT = new TextEncoder().encode('memory\x02'); // a name, and that it is a memory
let compiled: WebAssembly.Module | undefined;
let compiledShared: WebAssembly.Module | undefined;

/**
 * The module's bytes, with `shared` of those that take a memory of threads. With relaxed SIMD (engines of
 * 2023 and later; Node 20 by a flag) a pass takes a fifth less time.
 */
function moduleBytes(shared: boolean): Uint8Array<ArrayBuffer> {
  const relaxed = bytesOf(RELAXED_BASE64);
  const bytes = WebAssembly.validate(relaxed) ? relaxed : bytesOf(WASM_BASE64);
  const at = bytes.findIndex((_, i) => IMPORT.every((byte, j) => bytes[i + j] === byte));
  if (shared) bytes[at + IMPORT.length]! |= 2; // the bit of the memory's limits that says so
  return bytes;
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

/** @throws where a page may not compile at once what is larger than 4 KB (Chrome of 2022 and before). */
function unsharedModule(memory: WebAssembly.Memory): HostModule {
  compiled ??= new WebAssembly.Module(moduleBytes(false));
  return instanceOver(compiled, memory);
}

export function sharedModule(memory: WebAssembly.Memory): HostModule {
  return instanceOver(compiledSharedModule(), memory);
}

/** The module over a shared memory, for threads to make instances of. */
export function compiledSharedModule(): WebAssembly.Module {
  compiledShared ??= new WebAssembly.Module(moduleBytes(true));
  return compiledShared;
}

function instanceOver(module: WebAssembly.Module, memory: WebAssembly.Memory): HostModule {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return { ...(exports as unknown as Omit<HostModule, 'memory'>), memory };
}

/** What we use of the wasm backend, which is no dependency of this package. */
export interface WasmBackend {
  getMemoryOffset(dataId: tf.DataId): Address;
  makeOutput(shape: number[], dtype: 'float32'): tf.TensorInfo;
  disposeData(dataId: tf.DataId): boolean;
  wasm: { asm?: { memory?: unknown } };
}

const modules = new WeakMap<object, HostModule | undefined>();

/** The loops over the memory of the wasm backend; `undefined` where it cannot be had, as that of threads. */
export function wasmModule(): HostModule | undefined {
  if (tf.getBackend() !== 'wasm') return undefined;
  const backend = tf.backend() as unknown as WasmBackend;
  if (!modules.has(backend)) modules.set(backend, openModule(backend.wasm.asm?.memory));
  return modules.get(backend);
}

function openModule(memory: unknown): HostModule | undefined {
  if (!(memory instanceof WebAssembly.Memory) || !(memory.buffer instanceof ArrayBuffer)) {
    return undefined;
  }
  try {
    return unsharedModule(memory);
  } catch {
    return undefined;
  }
}
