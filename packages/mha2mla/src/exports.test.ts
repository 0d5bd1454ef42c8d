import { expect, test } from 'vitest';
import * as api from './index';
import * as node from './node';

test('the package exports these names and no others', () => {
  expect(Object.keys(api).sort()).toEqual([
    'HealingDiverged',
    'ModelAdapters',
    'askOverCache',
    'calibrationBatches',
    'convertModel',
    'diagnoseModel',
    'embedReferences',
    'evaluate',
    'fitCache',
    'healLayerwise',
    'healModel',
    'healProgressive',
    'largestLogitChange',
    'loadAdapter',
    'memoryOutput',
    'packReferences',
    'parseConversations',
    'planConversion',
    'planHealing',
    'questionOf',
    'readCalibrationFile',
    'saveAdapter',
    'scoreOverCache',
    'scoreReferences',
    'traceModel',
    'writeHealed',
  ]);
});

test('its Node entry exports these names and no others', () => {
  expect(Object.keys(node).sort()).toEqual([
    'BACKENDS',
    'FAMILIES',
    'JobError',
    'decodeImage',
    'drawAgainstBytes',
    'factorPool',
    'folderOutput',
    'healPool',
    'jobRuntime',
    'loadQuestions',
    'openModelFolder',
    'openStore',
    'placeModel',
    'queueEngine',
    'queueWorker',
    'readPicture',
    'readVideo',
    'spillHidden',
    'spreadConversion',
    'spreadEvaluation',
    'spreadHealing',
    'threadEngine',
    'useBackend',
    'watchQueue',
  ]);
});
