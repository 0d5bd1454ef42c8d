import type { PackedLayout } from '../packed-layout';

/** Where in a static table the channels of a vector stand: that of its head. @param row of [..., T]. */
export function tableRow({ channels, tokens, table }: PackedLayout, row: number): number {
  const head = Math.floor(row / tokens) * channels;
  return head % table!.scales.length;
}
