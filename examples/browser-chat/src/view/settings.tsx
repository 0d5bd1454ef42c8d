import type { BackendName, WeightFormat } from '@mha2mla/mla-runtime';
import { backend, chooseWeights, weights } from '../model/choice';
import { hasWebGpu } from '../model/room';

const FORMATS: readonly [WeightFormat, string][] = [
  ['f32', '32 bits, exact'],
  ['f16', '16 bits'],
  ['int8', '8 bits'],
  ['int4', '4 bits'],
];

export function Settings() {
  return (
    <details class="settings">
      <summary>Settings</summary>
      <div class="fields">
        <label>
          <span>Runs on</span>
          <select
            value={backend.value}
            onChange={({ currentTarget }) => {
              backend.value = currentTarget.value as BackendName | 'auto';
            }}
          >
            <option value="auto">Automatic</option>
            <option value="webgpu" disabled={!hasWebGpu()}>
              WebGPU
            </option>
            <option value="wasm">WebAssembly</option>
          </select>
        </label>
        <label>
          <span>Weights in memory</span>
          <select
            value={weights.value}
            onChange={({ currentTarget }) => chooseWeights(currentTarget.value as WeightFormat)}
          >
            {FORMATS.map(([value, title]) => (
              <option key={value} value={value}>
                {title}
              </option>
            ))}
          </select>
        </label>
      </div>
      {!hasWebGpu() && (
        <p class="hint">
          This browser offers no WebGPU, so models run on the processor, by WebAssembly: right, and
          slower. Chrome, Edge, Safari 26 and Firefox have it on most devices.
        </p>
      )}
    </details>
  );
}
