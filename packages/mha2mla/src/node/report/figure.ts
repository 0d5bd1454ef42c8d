/** Of drawings, in pixels: labels are read on a phone that is a little narrower. */
export const FIGURE_WIDTH = 440;

/** A figure of the report: drawings, words, and its numbers as a table for who cannot see them. */
export interface Figure {
  title: string;
  /** What to look at, in plain text. */
  caption: string;
  /** SVG elements of {@link renderSvg}, side by side where there is room. */
  drawings: string[];
  /** Steps from first to last, where lines have the colours of the ramp. */
  ramp?: { first: string; last: string };
  table: Table;
}

export interface Table {
  head: string[];
  rows: string[][];
  /** Of rows that are good or bad news. */
  marks?: ('good' | 'bad' | undefined)[];
}
