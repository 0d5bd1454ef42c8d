import type { FileStore } from '@mha2mla/checkpoint';
import type { Processor } from '../model-inputs';
import type { LlavaConfig } from './llava-config';

export async function loadLlavaProcessor(_c: LlavaConfig, _s: FileStore): Promise<Processor> {
  throw new Error('pending');
}
