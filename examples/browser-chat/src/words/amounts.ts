const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'];

/** Bytes in the largest unit of which there is at least one, in three digits. */
export function showBytes(bytes: number): string {
  const step = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), UNITS.length - 1);
  const value = bytes / 1000 ** step;
  const digits = step === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[step]}`;
}

export function showRate(perSecond: number): string {
  return perSecond > 0 ? `${perSecond.toFixed(perSecond < 10 ? 1 : 0)} tokens/s` : '';
}

export function showSeconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export const showShare = (part: number, whole: number) => `${Math.round((100 * part) / whole)} %`;
