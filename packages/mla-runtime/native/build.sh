#!/usr/bin/env bash
# Build the products of few rows. The backend's memory is imported.
cd "$(dirname "$0")"
exec ../../../scripts/build-wasm.sh "$PWD" mha2mla_few_rows ../src/kernels/few-rows.wasm.ts \
  -C link-arg=--import-memory -C link-arg=--initial-memory=65536 -C link-arg=-zstack-size=0
