#!/usr/bin/env bash
# Build the products of few rows to wasm and commit them as a base64 module.
# Needs rustup with a stable toolchain; users of the package need none of it.
set -euo pipefail
cd "$(dirname "$0")"
rustup target list --installed | grep -q wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown
target="${CARGO_TARGET_DIR:-target}"
# The backend's memory is imported; paths are remapped so that builds look alike.
RUSTFLAGS="-C target-feature=+simd128 -C link-arg=--import-memory -C link-arg=--initial-memory=65536 -C link-arg=-zstack-size=0 --remap-path-prefix=$HOME=~ --remap-path-prefix=$PWD=." \
  cargo build --release --locked --target wasm32-unknown-unknown --target-dir "$target"
node - "$target/wasm32-unknown-unknown/release/mha2mla_few_rows.wasm" <<'JS'
const { readFileSync, writeFileSync } = require('node:fs');
const bytes = readFileSync(process.argv[2]);
writeFileSync(
  '../src/kernels/few-rows.wasm.ts',
  `// Built by native/build.sh from native/src/lib.rs (${bytes.length} bytes). Do not edit.\n` +
    `export const WASM_BASE64 =\n  '${bytes.toString('base64')}';\n`,
);
console.log(`few-rows.wasm.ts: ${bytes.length} bytes of wasm`);
JS
