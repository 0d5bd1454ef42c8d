/** Tokenizer and chat template of a checkpoint folder, from whichever of their files it has. */
import { type FileStore, readJson, readText } from '@mha2mla/checkpoint';
import { type ChatTemplate, loadChatTemplate } from './chat-template';
import { loadTokenizer, type TextTokenizer } from './tokenizer';

/** A vocabulary of 256 thousand tokens with its merges takes some 35 MB. */
const MAX_TOKENIZER_BYTES = 128 * 2 ** 20;
/** Published templates are below 20 KB. */
const MAX_TEMPLATE_BYTES = 1 << 20;

/** Tokenizer and chat template. */
export interface TextFiles {
  tokenizer: TextTokenizer;
  chatTemplate: ChatTemplate;
}

/** @throws CheckpointError for a missing or malformed file; those of the two loaders. */
export async function loadTextFiles(store: FileStore): Promise<TextFiles> {
  const tokenizerJson = await readJson(store, 'tokenizer.json', { maxBytes: MAX_TOKENIZER_BYTES });
  const tokenizerConfig = (await readOptionalJson(store, 'tokenizer_config.json')) ?? {};
  const tokenizer = loadTokenizer(tokenizerJson, tokenizerConfig);
  const hasJinja = (await store.open('chat_template.jinja')) !== undefined;
  const chatTemplate = loadChatTemplate(
    {
      jinja: hasJinja
        ? await readText(store, 'chat_template.jinja', { maxBytes: MAX_TEMPLATE_BYTES })
        : undefined,
      chatTemplateJson: await readOptionalJson(store, 'chat_template.json'),
      processorConfig: await readOptionalJson(store, 'processor_config.json'),
      tokenizerConfig,
    },
    { namedTokens: tokenizer.namedTokens, specialTokens: tokenizer.specialTokens.keys() },
  );
  return { tokenizer, chatTemplate };
}

/** A parsed JSON file, or `undefined` where the folder has none of that name. */
export async function readOptionalJson(store: FileStore, name: string): Promise<unknown> {
  return (await store.open(name)) === undefined ? undefined : readJson(store, name);
}
