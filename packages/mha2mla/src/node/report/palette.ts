/**
 * The colours of plots and page, by name, for light and dark. Plots name them as CSS variables, so
 * that one drawing serves both; a plot in a file of its own gets the light ones written out, since
 * few viewers of SVG files know variables. Eight series that colour-blind people tell apart, after
 * Okabe and Ito; the ramp runs through viridis, darker ends left out where they would vanish.
 */
const COLORS = {
  ink: ['#1c2230', '#e7eaf1'],
  muted: ['#596274', '#9ca6b9'],
  grid: ['#e4e7ed', '#2b3242'],
  page: ['#f5f6f9', '#10141c'],
  card: ['#ffffff', '#181d28'],
  alarm: ['#b3261e', '#ff8a80'],
  vision: ['#1f6fb4', '#66b3f0'],
  text: ['#c4571b', '#f2995c'],
  before: ['#9aa4b5', '#667085'],
  after: ['#157f6b', '#4fc3a9'],
  series0: ['#1f6fb4', '#66b3f0'],
  series1: ['#c4571b', '#f2995c'],
  series2: ['#157f6b', '#4fc3a9'],
  series3: ['#a8467f', '#e58fc2'],
  series4: ['#8a6d0b', '#e3c34a'],
  series5: ['#5a55b5', '#a7a2f2'],
  series6: ['#3b8ea5', '#8fd3e3'],
  series7: ['#5d6675', '#b4bccb'],
  ramp0: ['#472d7b', '#8f7ad1'],
  ramp1: ['#3b528b', '#6f8fd6'],
  ramp2: ['#2c728e', '#4fa3c4'],
  ramp3: ['#21918c', '#35b8b1'],
  ramp4: ['#1fa57f', '#3acb9c'],
  ramp5: ['#4ab05a', '#6fd878'],
  ramp6: ['#8ab52f', '#aadc4a'],
  ramp7: ['#c2a80f', '#f0e04a'],
} as const;

export type ColorName = keyof typeof COLORS;

/** A colour as plots name it. */
export function color(name: ColorName): string {
  return `var(--${name})`;
}

/** The i-th of several series; they repeat after eight. */
export function seriesColor(index: number): string {
  return color(`series${index % 8}` as ColorName);
}

/** The colour of the i-th of `count` steps from first to last, such as layers. */
export function rampColor(index: number, count: number): string {
  return color(`ramp${Math.round((7 * index) / Math.max(1, count - 1))}` as ColorName);
}

/** Declarations of the variables, of one theme. */
export function colorVariables(theme: 'light' | 'dark'): string {
  return Object.entries(COLORS)
    .map(([name, [light, dark]]) => `--${name}:${theme === 'light' ? light : dark}`)
    .join(';');
}

/** A drawing with the light colours written out. */
export function withLightColors(svg: string): string {
  return svg.replace(/var\(--(\w+)\)/g, (variable, name: string) =>
    Object.hasOwn(COLORS, name) ? COLORS[name as ColorName][0] : variable,
  );
}
