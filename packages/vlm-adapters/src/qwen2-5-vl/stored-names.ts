/**
 * Names of Qwen2.5-VL's weights on disk: as published, then as the classes of transformers 4.57 and
 * 5 save them.
 */
export function qwen25VlStoredNames(name: string): readonly string[] {
  if (name.startsWith('visual.')) return [name, `model.${name}`];
  if (name.startsWith('lm_head.')) return [name];
  return [`model.${name}`, `model.language_model.${name}`];
}
