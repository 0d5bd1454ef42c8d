#!/usr/bin/env bash
# Build the loops of the host. The backend's memory is imported.
cd "$(dirname "$0")"
exec ../../../scripts/build-wasm.sh "$PWD" mha2mla_host ../src/host/host.wasm.ts \
  -C link-arg=--import-memory -C link-arg=--initial-memory=65536 \
  -C link-arg=--max-memory=4294967296 -C link-arg=-zstack-size=0
