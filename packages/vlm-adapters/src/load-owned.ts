/** A part of a model that holds tensors. */
interface Part {
  dispose(): void;
}

/**
 * Run a loader that owns what it has loaded so far: where it fails midway, its parts are disposed.
 * @param load hands each part to `own` as soon as it has it.
 * @returns what `load` gives; the caller disposes it.
 */
export async function loadOwned<Whole>(
  load: (own: <P extends Part>(part: P) => P) => Promise<Whole>,
): Promise<Whole> {
  const parts: Part[] = [];
  try {
    return await load((part) => {
      parts.push(part);
      return part;
    });
  } catch (error) {
    for (const part of parts) part.dispose();
    throw error;
  }
}
