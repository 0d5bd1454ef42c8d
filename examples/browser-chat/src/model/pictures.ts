/** Pictures of the question that is being written, and of those that were asked. */
import { signal } from '@preact/signals';
import { type Sample, sampleAddress } from './catalog';

export interface Picture {
  blob: Blob;
  /** An object URL; revoked with the picture. */
  url: string;
  alt: string;
  sample?: Sample;
}

export const drafted = signal<readonly Picture[]>([]);

export function addPictures(files: Iterable<File>): void {
  const pictures = [...files].map((file) => pictureOf(file, file.name));
  drafted.value = [...drafted.value, ...pictures];
}

/** In the place of what is there. */
export async function chooseSample(sample: Sample): Promise<void> {
  const blob = await (await fetch(sampleAddress(sample))).blob();
  clearDraft();
  drafted.value = [{ ...pictureOf(blob, sample.alt), sample }];
}

export function removeDrafted(picture: Picture): void {
  revoke([picture]);
  drafted.value = drafted.value.filter((one) => one !== picture);
}

export function clearDraft(): void {
  revoke(drafted.value);
  drafted.value = [];
}

/** Hand them over to a question. */
export function takeDrafted(): readonly Picture[] {
  const pictures = drafted.value;
  drafted.value = [];
  return pictures;
}

export function revoke(pictures: readonly Picture[]): void {
  for (const { url } of pictures) URL.revokeObjectURL(url);
}

function pictureOf(blob: Blob, alt: string): Picture {
  return { blob, url: URL.createObjectURL(blob), alt };
}
