import cliProgress from 'cli-progress';

/** The one bar on a terminal. */
export interface ProgressBar {
  draw(phase: string, loaded: number, total: number): void;
  /** Take the bar off the screen; the next draw brings it back. */
  clear(): void;
}

export function createBar(stream: NodeJS.WritableStream): ProgressBar {
  const options = {
    stream,
    clearOnComplete: true,
    hideCursor: true,
    fps: 50,
    format: '{phase} {bar} {value}/{total}, {eta_formatted} left',
  };
  let bar: cliProgress.SingleBar | undefined;
  return {
    clear() {
      const shown = bar;
      bar = undefined;
      shown?.stop();
    },
    draw(phase, loaded, total) {
      if (!bar) {
        bar = new cliProgress.SingleBar(options, cliProgress.Presets.shades_grey);
        bar.start(total, loaded, { phase });
      }
      bar.setTotal(total);
      bar.update(loaded, { phase });
    },
  };
}
