/**
 * Choose a token from logits on the device: the largest, or a draw from the softmax of the `topK`
 * largest over the temperature. One workgroup; each of the `topK` rounds finds the next largest, of
 * equals the first. Reads the logits once a round.
 */
import { ENTRY, stepsAt, type WgslProgram } from '../webgpu/wgsl-program';

const THREADS = 256;
/** What is written where a logit is NaN: no token has it. */
export const NO_TOKEN = 0xffffffff;
/** How a thread tells of a NaN. */
const POISON = 0xfffffffe;

/**
 * Bindings: token [1] as u32, logits [vocabulary], and with `topK` above 1 the steps, of which there is one.
 */
export function pickToken(vocabulary: number, topK = 1): WgslProgram {
  const draws = topK > 1;
  const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> token : array<u32>;
@group(0) @binding(1) var<storage, read> logits : array<f32>;
${draws ? stepsAt(2) : ''}

var<workgroup> best : array<f32, ${THREADS}>;
var<workgroup> at : array<u32, ${THREADS}>;
var<workgroup> top : array<f32, ${topK}>;
var<workgroup> place : array<u32, ${topK}>;

fn comes_before(a : f32, i : u32, b : f32, j : u32) -> bool { return a > b || (a == b && i < j); }

@compute @workgroup_size(${THREADS})
fn main(${ENTRY}) {
  _ = group_id.x + group_count.x;
  for (var round = 0u; round < ${Math.min(topK, vocabulary)}u; round++) {
    var most = 0.0;
    var index = ${NO_TOKEN}u;
    for (var i = thread; i < ${vocabulary}u; i += ${THREADS}u) {
      let bits = bitcast<u32>(logits[i]);
      let logit = logits[i];
      if ((bits & 0x7fffffffu) > 0x7f800000u) { index = ${POISON}u; break; }
      let fresh = round == 0u || comes_before(top[max(round, 1u) - 1u], place[max(round, 1u) - 1u], logit, i);
      if (fresh && (index == ${NO_TOKEN}u || logit > most)) { most = logit; index = i; }
    }
    best[thread] = most;
    at[thread] = index;
    workgroupBarrier();
    if (thread == 0u) {
      var poisoned = index == ${POISON}u;
      for (var j = 1u; j < ${THREADS}u; j++) {
        poisoned = poisoned || at[j] == ${POISON}u;
        if (at[j] != ${NO_TOKEN}u && (index == ${NO_TOKEN}u || comes_before(best[j], at[j], most, index))) {
          most = best[j];
          index = at[j];
        }
      }
      top[round] = most;
      place[round] = select(index, ${NO_TOKEN}u, poisoned);
    }
    workgroupBarrier(); // the next round reads what this one has found
  }
  if (thread != 0u) { return; }
  ${
    draws
      ? `
  step = steps[0];
  var total = 0.0;
  for (var j = 0u; j < ${Math.min(topK, vocabulary)}u; j++) { total += exp((top[j] - top[0]) / step.temperature); }
  var rest = step.uniform_number * total;
  var chosen = place[0];
  for (var j = 0u; j < ${Math.min(topK, vocabulary)}u; j++) {
    chosen = place[j];
    rest -= exp((top[j] - top[0]) / step.temperature);
    if (rest < 0.0) { break; }
  }
  token[0] = select(chosen, ${NO_TOKEN}u, place[0] == ${NO_TOKEN}u);`
      : 'token[0] = place[0];'
  }
}`;
  return { key: `pickToken ${vocabulary} ${topK}`, code, groups: 1 };
}
