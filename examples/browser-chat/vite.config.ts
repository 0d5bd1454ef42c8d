import { defineConfig, type Plugin } from 'vite';

/** Nothing inline, nothing evaluated; addresses that a reader types are read by ranges. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "media-src 'self' blob:",
  "worker-src 'self'",
  "connect-src 'self' https: http://localhost:* http://127.0.0.1:*",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

/** In the built page only: what Vite serves while one works on it has styles in the page. */
const policy: Plugin = {
  name: 'content-security-policy',
  apply: 'build',
  transformIndexHtml: () => [
    {
      tag: 'meta',
      attrs: { 'http-equiv': 'Content-Security-Policy', content: POLICY },
      injectTo: 'head-prepend',
    },
  ],
};

export default defineConfig({
  base: './', // of any folder of a host
  appType: 'mpa', // a file that is not there is 404, not the page
  plugins: [policy],
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  worker: { format: 'es' },
  // Of the worker, which Vite meets only once the page has started.
  optimizeDeps: {
    include: ['@tensorflow/tfjs-backend-wasm', '@tensorflow/tfjs-backend-webgpu'],
  },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The page itself computes nothing: what runs when these are imported is of use to the worker.
    rollupOptions: {
      treeshake: {
        moduleSideEffects: (id) => !/\/@(tensorflow|huggingface)\//.test(id),
        propertyReadSideEffects: false,
      },
    },
    chunkSizeWarningLimit: 2000, // TensorFlow.js, in the worker
  },
});
