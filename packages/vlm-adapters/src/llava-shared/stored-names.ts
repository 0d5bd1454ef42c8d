/**
 * Names of the LLaVAs' weights on disk: as published, then as the classes of transformers 4.57 and
 * 5 save them (5 also drops `vision_model.`).
 */
const TOWER = 'vision_tower.';

/** Parts outside of tower and decoder; LLaVA-1.5 has no `image_newline`. */
const OF_THE_WHOLE = /^(multi_modal_projector\.|image_newline$)/;

/** Candidates for one of our names, the published one first. */
export function llavaStoredNames(name: string): readonly string[] {
  if (name.startsWith(TOWER)) {
    const rest = name.slice(TOWER.length);
    return [
      `vision_tower.vision_model.${rest}`,
      `model.vision_tower.vision_model.${rest}`,
      `model.vision_tower.${rest}`,
    ];
  }
  if (OF_THE_WHOLE.test(name)) return [name, `model.${name}`];
  if (name.startsWith('lm_head.')) return [`language_model.${name}`, name];
  return [`language_model.model.${name}`, `model.language_model.${name}`];
}
