/** Ends a streamed answer where it says one of the stop texts, which is not part of it. */
export interface StopTexts {
  /**
   * @param isLast nothing follows, so nothing is held back.
   * @returns the text that is safe to show: no stop text can begin in it. And whether one has come.
   */
  push(piece: string, isLast?: boolean): { text: string; stopped: boolean };
}

/** Finds the first of several texts in a stream, holding back what may become one. */
export function createStopTexts(stops: readonly string[]): StopTexts {
  let held = '';
  return {
    push(piece, isLast = false) {
      held += piece;
      const places = stops.map((stop) => held.indexOf(stop)).filter((place) => place >= 0);
      const stopped = places.length > 0;
      const begun = isLast ? 0 : begunLength(held, stops);
      const end = stopped ? Math.min(...places) : held.length - begun;
      const text = held.slice(0, end);
      held = held.slice(end);
      return { text, stopped };
    },
  };
}

/** Length of the longest end of `text` that is the beginning of a stop text. */
function begunLength(text: string, stops: readonly string[]): number {
  return Math.max(
    0,
    ...stops.map((stop) => {
      let length = Math.min(stop.length - 1, text.length);
      while (!stop.startsWith(text.slice(text.length - length))) length--;
      return length;
    }),
  );
}
