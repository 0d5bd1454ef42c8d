/**
 * Make something of parts that are loaded one after another: when one fails, the parts that were
 * there already are disposed.
 * @param make passes each part that it gets through `own`.
 */
export async function allOrNothing<T>(
  make: (own: <P extends { dispose(): void }>(part: P) => P) => Promise<T>,
): Promise<T> {
  const parts: { dispose(): void }[] = [];
  try {
    return await make((part) => {
      parts.push(part);
      return part;
    });
  } catch (error) {
    for (const part of parts) part.dispose();
    throw error;
  }
}
