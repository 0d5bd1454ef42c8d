import { expect, test } from 'vitest';
import * as api from './index';

test('the package exports these names and no others', () => {
  expect(Object.keys(api).sort()).toEqual([
    'ContextFullError',
    'Decoder',
    'DecoderCache',
    'DecoderLayer',
    'PADDING',
    'RecordedDecode',
    'TEXT',
    'VISION',
    'applyRotary',
    'argMax',
    'cacheBytesPerToken',
    'checkDecoderConfig',
    'chooseBackend',
    'decodeStep',
    'denseProjection',
    'generate',
    'loadDecoder',
    'loadDecoderLayer',
    'loadProjection',
    'lookupEmbeddings',
    'prefillStep',
    'readValues',
    'registerWebGpu',
    'rmsNorm',
    'rotaryAngles',
    'rotaryFrequencies',
    'sampleToken',
    'seededRandom',
    'textLayout',
    'tokenLayout',
    'withoutPadding',
    'yieldToEventLoop',
  ]);
});
