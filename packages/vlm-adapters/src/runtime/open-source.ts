import { blobStore, type FileStore, httpStore } from '@mha2mla/checkpoint';
import { type OpenVlmOptions, openVlm, type VlmSource } from '../open-vlm';
import type { ModelSource } from './model';
import { watchedStore } from './watched-store';

/** Some 250,000 tensors: what a page can parse at once. */
const MAX_HEADER_BYTES = 25e6;

export interface OpenSourceOptions extends Pick<OpenVlmOptions, 'families'> {
  signal?: AbortSignal | undefined;
  /** Gets the bytes of each read. */
  onRead?: (bytes: number) => void;
}

/** Open a folder that is named in any of the ways; reading it ends once the signal aborts. */
export function openSource(
  source: FileStore | ModelSource,
  { families, signal, onRead = () => {} }: OpenSourceOptions,
): Promise<VlmSource> {
  const store = watchedStore(storeOf(source), signal, onRead);
  return openVlm(store, { families, maxHeaderBytes: MAX_HEADER_BYTES });
}

function storeOf(source: FileStore | ModelSource): FileStore {
  if (typeof source === 'string') return httpStore(source);
  return Symbol.iterator in source ? blobStore(source) : source;
}
