/**
 * The layer in onnxruntime-node: four products about its own operator of attention over a cache
 * (GroupQueryAttention, which rotates, appends and attends), weights constants of the graph. The
 * buffers of the cache are given as inputs and outputs at once, so that nothing is copied.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { noise, pieceNoise, SEEDS, weightNoise } from './noise.js';
import { attribute, initializer, model, node, valueInfo } from './onnx-model.js';
import { PIECE } from './shapes.js';

/** @param folder where onnxruntime-node is installed. */
export async function openOnnxArm(shape, folder, threads) {
  const require = createRequire(pathToFileURL(join(folder, 'package.json')));
  const { InferenceSession, Tensor } = require('onnxruntime-node');
  const { hiddenSize, numAttentionHeads: N, numKeyValueHeads: K, headDim: H } = shape;
  const options = {
    ...{ executionProviders: ['cpu'], graphOptimizationLevel: 'all' },
    ...{ intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 3 },
  };
  const sessions = {};
  const sessionOf = async (kind) => {
    sessions[kind] ??= await InferenceSession.create(graphOf(shape, kind === 'whole'), options);
    return sessions[kind];
  };
  const f32 = (values, dims) => new Tensor('float32', values, dims);
  const i32 = (value, dims) => new Tensor('int32', Int32Array.of(value), dims);
  let [filled, capacity] = [0, 0];
  let cache;
  let angles;

  async function run(kind, rows, past) {
    const total = past + rows.length;
    const cacheDims = [1, K, capacity, H];
    const feeds = {
      key_cache: f32(cache.key, cacheDims),
      value_cache: f32(cache.value, cacheDims),
      last: i32(total - 1, [1]),
      total: i32(total, []),
      cos: f32(angles.cos, [capacity, H / 2]),
      sin: f32(angles.sin, [capacity, H / 2]),
      ...rows.feeds,
    };
    const width = kind === 'whole' ? hiddenSize : N * H;
    const fetches = {
      output: f32(new Float32Array(rows.length * width), [1, rows.length, width]),
      new_keys: feeds.key_cache,
      new_values: feeds.value_cache,
    };
    const session = await sessionOf(kind);
    const { output } = await session.run(feeds, fetches);
    return output.data.subarray(output.data.length - width);
  }

  /** Room for a context and a trial's tokens. */
  function reserve(context) {
    const needed = context + PIECE;
    if (needed <= capacity) return;
    const grown = {};
    for (const name of ['key', 'value']) {
      grown[name] = new Float32Array(K * needed * H);
      for (let head = 0; head < K && cache; head++) {
        const own = cache[name].subarray(head * capacity * H, head * capacity * H + filled * H);
        grown[name].set(own, head * needed * H);
      }
    }
    [cache, capacity, angles] = [grown, needed, anglesOf(shape, needed)];
  }

  let position = 0;
  const one = (values, width) => f32(values, [1, 1, width]);
  const token = one(noise(hiddenSize, SEEDS.input), hiddenSize);
  const projected = {
    q: one(noise(N * H, 7), N * H),
    k: one(noise(K * H, 8), K * H),
    v: one(noise(K * H, 9), K * H),
  };
  const step = (kind, feeds) => run(kind, { length: 1, feeds }, position++);
  return {
    fill(context) {
      reserve(context);
      for (; filled < context; filled += PIECE) {
        for (const name of ['key', 'value']) {
          const piece = pieceNoise(name, filled / PIECE, PIECE, shape);
          for (let head = 0; head < K; head++) {
            const own = piece.subarray(head * PIECE * H, (head + 1) * PIECE * H);
            cache[name].set(own, (head * capacity + filled) * H);
          }
        }
      }
      position = filled;
    },
    rewind() {
      position = filled;
    },
    decode: () => step('whole', { x: token }),
    core: () => step('core', projected),
    prefill(length) {
      reserve(length);
      filled = 0; // it writes over what was there
      const x = f32(noise(length * hiddenSize, SEEDS.input), [1, length, hiddenSize]);
      return run('whole', { length, feeds: { x } }, 0);
    },
  };
}

function anglesOf({ headDim, ropeTheta }, length) {
  const half = headDim / 2;
  const table = (turn) =>
    Float32Array.from({ length: length * half }, (_, i) =>
      turn(Math.floor(i / half) * ropeTheta ** (-(i % half) / half)),
    );
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/** @param whole with the projections, of an input x; else of q, k and v. */
function graphOf({ hiddenSize, numAttentionHeads: N, numKeyValueHeads: K, headDim: H }, whole) {
  const weight = (name, out, width) =>
    initializer(name, [width, out], transposed(name, out, width));
  const product = (input, name, output) => node('MatMul', [input, name], [output]);
  const attend = node(
    'GroupQueryAttention',
    ['q', 'k', 'v', 'key_cache', 'value_cache', 'last', 'total', 'cos', 'sin'],
    [whole ? 'attended' : 'output', 'new_keys', 'new_values'],
    [attribute('num_heads', N), attribute('kv_num_heads', K), attribute('do_rotary', 1)],
    'com.microsoft',
  );
  const cacheShape = [1, K, 'S', H];
  const angleShape = ['S', H / 2];
  const inputs = [
    ...(whole
      ? [valueInfo('x', 'float', [1, 'L', hiddenSize])]
      : [
          valueInfo('q', 'float', [1, 'L', N * H]),
          valueInfo('k', 'float', [1, 'L', K * H]),
          valueInfo('v', 'float', [1, 'L', K * H]),
        ]),
    ...['key_cache', 'value_cache'].map((name) => valueInfo(name, 'float', cacheShape)),
    valueInfo('last', 'int32', [1]),
    valueInfo('total', 'int32', []),
    ...['cos', 'sin'].map((name) => valueInfo(name, 'float', angleShape)),
  ];
  return model({
    nodes: whole
      ? [
          ...['q', 'k', 'v'].map((name) => product('x', `${name}_proj`, name)),
          attend,
          product('attended', 'o_proj', 'output'),
        ]
      : [attend],
    initializers: whole
      ? [
          weight('q_proj', N * H, hiddenSize),
          weight('k_proj', K * H, hiddenSize),
          weight('v_proj', K * H, hiddenSize),
          weight('o_proj', hiddenSize, N * H),
        ]
      : [],
    inputs,
    outputs: [
      valueInfo('output', 'float', [1, 'L', whole ? hiddenSize : N * H]),
      ...['new_keys', 'new_values'].map((name) => valueInfo(name, 'float', cacheShape)),
    ],
  });
}

/** The weight of that name, [in, out]. */
function transposed(name, out, width) {
  const values = weightNoise(name, [out, width]);
  const turned = new Float32Array(values.length);
  for (let o = 0; o < out; o++) {
    for (let i = 0; i < width; i++) turned[i * out + o] = values[o * width + i];
  }
  return turned;
}
