/** Sizes and times as people read them. */

/** Bytes in the unit that leaves few digits: `2.1 MB`. */
export function sizeText(bytes: number): string {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB'];
  const rounded = Number(bytes.toPrecision(3));
  const power = rounded < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(rounded) / 3));
  return `${Number((rounded / 1000 ** power).toPrecision(3))} ${units[power]}`;
}

export function duration(seconds: number): string {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}
