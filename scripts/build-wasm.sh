#!/usr/bin/env bash
# Build a package's native/ to wasm and commit it as a base64 module: build-wasm.sh NATIVE CRATE MODULE
# [RUSTFLAG...]. Needs rustup with a stable toolchain; users of the packages need none of it.
set -euo pipefail
cd "$1"
crate="$2" module="$3"
rustup target list --installed | grep -q wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown
target="${CARGO_TARGET_DIR:-target}"
# simd128 is in every browser since 2021; paths are remapped so that builds look alike.
RUSTFLAGS="-C target-feature=+simd128 ${*:4} --remap-path-prefix=$HOME=~ --remap-path-prefix=$PWD=." \
  cargo build --release --locked --target wasm32-unknown-unknown --target-dir "$target"
node - "$target/wasm32-unknown-unknown/release/$crate.wasm" "$module" <<'JS'
const { readFileSync, writeFileSync } = require('node:fs');
const [file, module] = process.argv.slice(2);
const bytes = readFileSync(file);
writeFileSync(
  module,
  `// Built by native/build.sh from native/src/lib.rs (${bytes.length} bytes). Do not edit.\n` +
    `export const WASM_BASE64 =\n  '${bytes.toString('base64')}';\n`,
);
console.log(`${module}: ${bytes.length} bytes of wasm`);
JS
