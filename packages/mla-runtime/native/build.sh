#!/usr/bin/env bash
# Build the loops of the host, twice: with relaxed SIMD, whose products and sums are one instruction, and
# without. The backend's memory is imported. LLVM's strength reduction is off: it gives each address a
# variable of its own, where a load or store takes a constant from one.
cd "$(dirname "$0")"
build() {
  ../../../scripts/build-wasm.sh "$PWD" mha2mla_host "../src/host/$1.wasm.ts" \
    -C link-arg=--import-memory -C link-arg=--initial-memory=65536 \
    -C link-arg=--max-memory=4294967296 -C link-arg=-zstack-size=0 -C llvm-args=-disable-lsr "${@:2}"
}
build host && build host-relaxed -C target-feature=+relaxed-simd
