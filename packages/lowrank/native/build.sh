#!/usr/bin/env bash
# Build the linear algebra of this package.
cd "$(dirname "$0")"
exec ../../../scripts/build-wasm.sh "$PWD" mha2mla_linear_algebra ../src/linear-algebra.wasm.ts
