/** What the page ships with: `build-models.js` puts it beside the page. */

export interface ShippedModel {
  name: string;
  title: string;
  about: string;
}

export const SHIPPED: readonly ShippedModel[] = [
  { name: 'llava', title: 'LLaVA-1.5', about: 'Every head has keys and values of its own.' },
  {
    name: 'llava_next',
    title: 'LLaVA-NeXT',
    about: 'Sees the picture whole and in tiles; heads share keys.',
  },
  {
    name: 'qwen2_5_vl',
    title: 'Qwen2.5-VL',
    about: 'Takes pictures of any size; heads share keys.',
  },
];

export const shippedAddress = (folder: string) =>
  new URL(`models/${folder}/`, document.baseURI).href;

export interface Sample {
  file: string;
  /** What is to be seen, for those who do not see it. */
  alt: string;
  questions: readonly string[];
}

const LIST = 'list all the objects in order.';
const COLOR = 'what color is the background?';

export const SAMPLES: readonly Sample[] = [
  {
    file: 'test-014.png',
    alt: 'whales and hammers',
    questions: [LIST, 'is there a gift?', 'how many pictures of a whale are there?', COLOR],
  },
  {
    file: 'test-023.png',
    alt: 'books, grapes and coffee',
    questions: [LIST, 'where is the grapes?', 'what is in the middle right?', COLOR],
  },
  {
    file: 'test-006.png',
    alt: 'sushi, bombs and a hammer',
    questions: [LIST, 'where is the hammer?', 'how many pictures of a bomb are there?', COLOR],
  },
  {
    file: 'test-018.png',
    alt: 'gifts and cherries',
    questions: [LIST, 'what is in the bottom left?', 'is there a watch?', COLOR],
  },
  {
    file: 'test-026.png',
    alt: 'pears, a star and a rainbow',
    questions: [LIST, 'where is the star?', 'is there a rainbow?', COLOR],
  },
  {
    file: 'test-028.png',
    alt: 'cookies and dogs',
    questions: [LIST, 'what is in the top left?', 'is there a turtle?', COLOR],
  },
];

/** For pictures of one's own. */
export const QUESTIONS: readonly string[] = [LIST, COLOR, 'what is in the middle center?'];

export const sampleAddress = ({ file }: Sample) =>
  new URL(`samples/${file}`, document.baseURI).href;
