import { expect, it } from 'vitest';
import * as peft from './index';

it('exports exactly these names', () => {
  expect(Object.keys(peft).sort()).toEqual([
    'AdamW',
    'AdaptedProjection',
    'accumulateGrads',
    'assertTrainable',
    'clipByGlobalNorm',
    'crossEntropy',
    'distillationLoss',
    'lora',
    'outputMatchingLoss',
    'registerGradients',
    'selectModules',
    'trainableProjection',
    'trainableShare',
    'valueAndGrads',
    'wsdSchedule',
  ]);
});
