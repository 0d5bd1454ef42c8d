export {
  type AtomicWriteOptions,
  atomicWriteFile,
  type WrittenFile,
} from './node/atomic-write-file';
export { diskFullOr } from './node/disk-full';
export { type FileSource, fileSource } from './node/file-source';
export { freeBytes } from './node/free-bytes';
export { nodeStore } from './node/node-store';
export {
  createOutputFolder,
  type OutputFolder,
  type OutputFolderOptions,
} from './node/output-folder';
export { assertWritableTarget, type OutputTarget } from './node/output-target';
export { readAt } from './node/read-at';
export { resolveInside } from './node/resolve-inside';
export type { Fingerprint } from './node/resume-record';
export { type WriteAtOptions, writeAt } from './node/write-at';
