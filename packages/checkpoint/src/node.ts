export { type FileSource, fileSource } from './node/file-source';
export { nodeStore } from './node/node-store';
export { resolveInside } from './node/resolve-inside';
