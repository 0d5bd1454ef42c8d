/** Files beside the weights that a model needs: tokenizer, template, processor, licence. */
import type { ByteSink, ByteSource, FileStore } from '@mha2mla/checkpoint';
import type { ConversionOutput } from '../convert/conversion-output';

const COMPANIONS = [
  'LICENSE',
  'LICENSE.txt',
  'NOTICE',
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  'generation_config.json',
  'merges.txt',
  'preprocessor_config.json',
  'processor_config.json',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
  'video_preprocessor_config.json',
  'vocab.json',
];
/** Files are copied in parts: a tokenizer of 256 thousand tokens takes some 35 MB. */
const PART_BYTES = 4 * 2 ** 20;

/** Copy those that the folder has, and the files named besides, byte for byte. */
export async function copyCompanions(
  store: FileStore,
  output: ConversionOutput,
  besides: readonly string[] = [],
): Promise<void> {
  for (const name of [...COMPANIONS, ...besides]) {
    const file = await store.open(name);
    if (file) await output.write(name, (sink) => copyBytes(file, sink));
  }
}

async function copyBytes(file: ByteSource, sink: ByteSink): Promise<void> {
  for (let start = 0; start < file.size; start += PART_BYTES) {
    await sink.write(await file.read(start, Math.min(start + PART_BYTES, file.size)));
  }
}
