/** The device behind a backend, as JSON for check-device.js: `node scripts/describe-device.js BACKEND`. */
import * as tf from '@tensorflow/tfjs-core';
import { useBackend } from 'mha2mla/node';

const DESCRIBE = { tensorflow: describeTensorFlow, webgpu: describeWebGpu, wasm: describeWasm };
/** Names of adapters that compute on the processor. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|software/i;

const backend = await useBackend(process.argv[2]);
const { text, software = false } = await DESCRIBE[backend]();
console.log(JSON.stringify({ software, text: `${backend}, Node ${process.version}: ${text}` }));
process.exit(); // an open device would keep the process

function describeTensorFlow() {
  const { isUsingGpuDevice, binding } = tf.backend();
  return {
    text: `TensorFlow ${binding.TF_Version} on a ${isUsingGpuDevice ? 'GPU' : 'processor'}`,
  };
}

function describeWebGpu() {
  const { device } = tf.backend();
  const { vendor, architecture, device: chip, description } = device.adapterInfo;
  const name = [vendor, architecture, chip, description].filter(Boolean).join(', ');
  const features = [...device.features].filter((feature) => /f16|subgroup|timestamp/.test(feature));
  const { maxStorageBufferBindingSize: most } = device.limits;
  const binding = `${Math.round(most / 2 ** 20)} MiB a binding`;
  return {
    software: SOFTWARE.test(name),
    text: [name, binding, features.join(', ') || 'no f16, no subgroups'].join('; '),
  };
}

async function describeWasm() {
  const env = tf.env();
  const simd = await env.getAsync('WASM_HAS_SIMD_SUPPORT');
  return { text: simd ? 'with SIMD, one thread' : 'without SIMD, one thread' };
}
