import type { Media, Question } from './question';

/** 256 MiB: a thousand pictures of 300 by 300. */
const MAX_BYTES = 2 ** 28;

/**
 * The same questions, whose pictures and videos are decoded once for all questions of a row; those
 * of the first rows asked for stay in memory, as far as `maxBytes` hold them.
 */
export function rememberMedia(
  rows: readonly (readonly Question[])[],
  maxBytes = MAX_BYTES,
): Question[][] {
  let held = 0;
  return rows.map((row) => {
    let kept: Media | undefined;
    const loadMedia = async () => {
      if (kept) return kept;
      const media = await row[0]!.loadMedia();
      const bytes = bytesOf(media);
      if (!kept && held + bytes <= maxBytes) {
        kept = media;
        held += bytes;
      }
      return media;
    };
    return row.map((question) => ({ ...question, loadMedia }));
  });
}

function bytesOf({ images, videos = [] }: Media): number {
  return [...images, ...videos.flatMap(({ frames }) => frames)].reduce(
    (sum, { data }) => sum + data.length,
    0,
  );
}
