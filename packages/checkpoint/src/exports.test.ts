import { expect, it } from 'vitest';
import * as index from './index';
import * as node from './node';

it('the exported names are these', () => {
  expect(Object.keys(index).sort()).toMatchInlineSnapshot(`
    [
      "CheckpointError",
      "assertFinite",
      "assertPlainName",
      "assertTensorShape",
      "blobSource",
      "blobStore",
      "concatBytes",
      "configBoolean",
      "configInteger",
      "configIntegers",
      "configNumber",
      "configRecord",
      "configString",
      "configValue",
      "decodeFloat32",
      "decodeInt32",
      "dtypeBits",
      "encodeRankFile",
      "encodeTensor",
      "escapeUnprintable",
      "httpStore",
      "memorySource",
      "memoryStore",
      "openCheckpoint",
      "openSafetensors",
      "parseJson",
      "parseModelConfig",
      "quoteName",
      "readJson",
      "readModelConfig",
      "readPth",
      "readRankFile",
      "readSafetensorsHeader",
      "readText",
      "safetensorsSize",
      "showJson",
      "writeSafetensors",
    ]
  `);
  expect(Object.keys(node).sort()).toMatchInlineSnapshot(`
    [
      "assertWritableTarget",
      "atomicWriteFile",
      "createOutputFolder",
      "fileSource",
      "freeBytes",
      "nodeStore",
      "resolveInside",
    ]
  `);
});
