#!/usr/bin/env bash
# Build the linear algebra of this package to wasm and commit it as a base64 module.
# Needs rustup with a stable toolchain; users of the package need none of it.
set -euo pipefail
cd "$(dirname "$0")"
rustup target list --installed | grep -q wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown
target="${CARGO_TARGET_DIR:-target}"
# simd128 is in every browser since 2021; paths are remapped so that builds look alike.
RUSTFLAGS="-C target-feature=+simd128 --remap-path-prefix=$HOME=~ --remap-path-prefix=$PWD=." \
  cargo build --release --locked --target wasm32-unknown-unknown --target-dir "$target"
node - "$target/wasm32-unknown-unknown/release/mha2mla_linear_algebra.wasm" <<'JS'
const { readFileSync, writeFileSync } = require('node:fs');
const bytes = readFileSync(process.argv[2]);
writeFileSync(
  '../src/linear-algebra.wasm.ts',
  `// Built by native/build.sh from native/src/lib.rs (${bytes.length} bytes). Do not edit.\n` +
    `export const WASM_BASE64 =\n  '${bytes.toString('base64')}';\n`,
);
console.log(`linear-algebra.wasm.ts: ${bytes.length} bytes of wasm`);
JS
