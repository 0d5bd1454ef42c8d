#!/usr/bin/env bash
# Install @tensorflow/tfjs-node into this repository's node_modules, without its install script: that
# one downloads from a host of its own, unchecked. Here libtensorflow comes from a wheel on PyPI whose
# hash is known, and the addon is compiled. What was built (1 GB) stays in a cache outside node_modules,
# so that after the next `npm ci` this takes seconds. Needs Linux on x86-64, python3 with pip, g++, make.
set -euo pipefail

readonly VERSIONS=4.22.0-2.18.0 # of tfjs-node and of libtensorflow
scripts="$(cd "$(dirname "$0")" && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/mha2mla-tfjs-node-$VERSIONS"
modules="$(cd "$scripts/../.." && pwd)/node_modules"

main() {
  [ "$(uname -sm)" = 'Linux x86_64' ] ||
    fail "expected Linux on x86-64, got $(uname -sm). Install @tensorflow/tfjs-node as its README says."
  [ -d "$modules" ] || fail "expected $modules, got none. Run npm ci first."
  [ -e "$cache" ] || build_cache
  link_into_modules
  check_loads
}

fail() {
  echo "tfjs-node: $1" >&2
  exit 1
}

# Built under another name and renamed when whole: a run that is cut short leaves nothing half done.
build_cache() {
  local need
  for need in python3 g++ make; do
    command -v "$need" >/dev/null || fail "expected $need, got none. Install it."
  done
  build="$(mkdir -p "${cache%/*}" && mktemp -d "$cache.XXXXXX")"
  trap 'rm -rf "$build"' EXIT
  cp "$scripts"/package.json "$scripts"/package-lock.json "$build"
  (cd "$build" && npm ci --ignore-scripts --no-audit --no-fund)
  fetch_libtensorflow "$build/libtensorflow"
  compile_addon "$build/node_modules/@tensorflow/tfjs-node" "$build/libtensorflow"
  mv -T "$build" "$cache" || [ -e "$cache" ] # another run may have come first
}

fetch_libtensorflow() {
  mkdir "$1"
  # The wheel is for Python 3.11; nothing of Python in it is used.
  python3 -m pip download --quiet --no-deps --require-hashes --only-binary=:all: --python-version 311 \
    --platform manylinux_2_17_x86_64 --dest "$1/wheel" --requirement "$scripts/requirements.txt"
  python3 "$scripts/unpack_libtensorflow.py" "$1"/wheel/*.whl "$1"
  rm -r "$1/wheel"
}

# What node-pre-gyp would tell node-gyp. N-API 8 serves every Node that we support.
compile_addon() {
  local prefix gyp
  local flags=(--module_name=tfjs_binding "--module_path=$1/lib/napi-v8" --napi_build_version=8)
  prefix="$(node --print 'require("path").resolve(process.execPath, "../..")')"
  # Without headers beside Node, node-gyp downloads them.
  [ -e "$prefix/include/node/node_api.h" ] && flags+=("--nodedir=$prefix")
  gyp="$(dirname "$(readlink -f "$(command -v npm)")")/../node_modules/node-gyp/bin/node-gyp.js"
  ln -s "$2" "$1/deps" # where the addon looks for its library
  (cd "$1" && node "$gyp" rebuild "${flags[@]}" --loglevel=warn && rm -r build)
  # Relative, so that the link survives the renaming of the cache.
  ln -sfn ../../../libtensorflow "$1/deps"
}

# As npm would lay it out: inside tfjs-node what only it needs, outside what this repository has too.
# tfjs-core must be the one there, since that is the one that holds the tensors.
link_into_modules() {
  local target="$modules/@tensorflow/tfjs-node" source="$cache/node_modules" name
  rm -rf "$target"
  copy "$source/@tensorflow/tfjs-node" "$target"
  ln -sfn "$cache/libtensorflow" "$target/deps"
  copy "$source" "$target/node_modules"
  rm -rf "$target/node_modules/@tensorflow/tfjs-node" "$target/node_modules/.bin"
  for name in "$modules"/@tensorflow/*/; do rm -rf "$target/node_modules/@tensorflow/$(basename "$name")"; done
}

# Hard links, where both are on one disk.
copy() {
  cp -al "$1" "$2" 2>/dev/null || { rm -rf "$2" && cp -a "$1" "$2"; }
}

check_loads() {
  cd "$scripts"
  TF_CPP_MIN_LOG_LEVEL=2 node --eval '
    const tf = require("@tensorflow/tfjs-node");
    const core = require("@tensorflow/tfjs-core");
    if (tf.Tensor !== core.Tensor) throw new Error("tfjs-node: expected one tfjs-core, got two");
    console.log(`tfjs-node ${tf.version["tfjs-node"]}, TensorFlow ${tf.backend().binding.TF_Version}`);
  '
}

main
