import { expect, test } from 'vitest';
import { createStopTexts } from './stop-texts';

/** What is shown of pieces, in the steps in which it is. */
function shown(stops: string[], pieces: string[]) {
  const filter = createStopTexts(stops);
  return pieces.map((piece, i) => filter.push(piece, i === pieces.length - 1));
}
const going = (text: string) => ({ text, stopped: false });
const stopped = (text: string) => ({ text, stopped: true });

test.each<[string, string[], string[], ReturnType<typeof shown>]>([
  ['none', [], ['a', 'b'], [going('a'), going('b')]],
  ['within a piece', ['.'], ['one. two'], [stopped('one')]],
  ['over pieces', ['END'], ['one E', 'N', 'D two'], [going('one '), going(''), stopped('')]],
  ['begun, and not ended', ['END'], ['one E', 'N', 'T'], [going('one '), going(''), going('ENT')]],
  ['begun at the last', ['END'], ['one EN'], [going('one EN')]],
  ['that begins in itself', ['aab'], ['aa', 'ab'], [going(''), stopped('a')]],
  ['the first of two', ['two', 'one'], ['zero one two'], [stopped('zero ')]],
  ['the longer one begun', ['b', 'abc'], ['xa', 'd'], [going('x'), going('ad')]],
])('a stop text: %s', (_, stops, pieces, expected) => {
  expect(shown(stops, pieces)).toEqual(expected);
});
