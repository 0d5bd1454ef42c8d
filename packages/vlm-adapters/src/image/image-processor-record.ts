import { jsonRecord } from '../json-record';

/**
 * The keys of an image processor: those of a `preprocessor_config.json` (older layout), or those
 * under `image_processor` in a `processor_config.json` (newer layout).
 * @param owner who asks, for the message.
 * @throws TypeError when there is no JSON object.
 */
export function imageProcessorRecord(owner: string, json: unknown): Record<string, unknown> {
  const outer = jsonRecord(owner, 'the file', json);
  return outer.image_processor === undefined
    ? outer
    : jsonRecord(owner, 'image_processor', outer.image_processor);
}
