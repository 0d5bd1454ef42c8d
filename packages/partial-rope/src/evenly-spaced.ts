/** At most `count` of the items, evenly spaced, the last always among them. */
export function evenlySpaced<T>(items: readonly T[], count: number): readonly T[] {
  if (items.length <= count) return items;
  return items.filter(
    (_, i) => Math.floor(((i + 1) * count) / items.length) > Math.floor((i * count) / items.length),
  );
}
