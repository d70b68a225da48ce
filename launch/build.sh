#!/usr/bin/env bash
# Installs what is missing and builds the program: build/onegather.
set -euo pipefail
cd "$(dirname "$0")/.."
launch/install.sh
if [ ! -f build/build.ninja ]; then
  cmake -G Ninja -S . -B build -DCMAKE_BUILD_TYPE=Release >build.log.tmp 2>&1 || {
    cat build.log.tmp
    exit 1
  }
  mkdir -p build && mv build.log.tmp build/configure.log
fi
rm -f build.log.tmp
ninja -C build onegather
