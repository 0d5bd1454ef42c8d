import { expect, test } from 'vitest';
import * as api from './index';

test('the package exports these names and no others', () => {
  expect(Object.keys(api).sort()).toEqual([
    'CheckpointWeights',
    'ClipVisionTower',
    'VisionLanguageModel',
    'assertComplete',
    'cacheBlock',
    'createClipImageProcessor',
    'createProcessor',
    'createQwen25Vl',
    'createTokenStream',
    'decoderConfig',
    'embedInputs',
    'llava',
    'llavaNext',
    'loadTextFiles',
    'messageParts',
    'openVlm',
    'parseCacheSetting',
    'parseClipConfig',
    'parseMlaConfig',
    'prepareInputs',
    'qwen25Vl',
    'sequentialPositions',
    'tensorDifference',
    'videoAsText',
  ]);
});
