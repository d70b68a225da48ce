#!/usr/bin/env bash
# tests/guards.sh [--full]: rules of the house that a compiler does not check. Prints what breaks them; status 1 if anything does.
# --full also compiles every header alone.
set -uo pipefail
cd "$(dirname "$0")/.."
broken=0
complain() { broken=1; printf '%s\n' "$1"; [ -n "${2:-}" ] && printf '%s\n' "$2" | head -n 20 | sed 's/^/    /'; }

# Includes point down only.
layers=(framework/core framework/kernels framework/autograd framework/ops parallel/comm parallel/mesh parallel/sequence parallel/step
  parallel/layers framework/nn framework/optim framework/io framework/data framework/measure models framework/config framework/train
  framework/bench framework/plan framework/program)
rank_of() { # path -> index of its layer, -1 outside
  local i
  for i in "${!layers[@]}"; do case $1 in "${layers[$i]}"/*) echo "$i"; return ;; esac; done
  echo -1
}
upward=""
while IFS=: read -r file include; do
  from=$(rank_of "$file") to=$(rank_of "$include")
  [ "$from" -ge 0 ] && [ "$to" -gt "$from" ] && upward+="$file includes $include"$'\n'
done < <(git ls-files 'framework/*.h' 'framework/*.cpp' 'parallel/*.h' 'parallel/*.cpp' 'models/*.h' 'models/*.cpp' |
  xargs grep -o '^#include "[^"]*"' | sed 's/:#include "\(.*\)"/:\1/')
[ -n "$upward" ] && complain "includes that point up:" "$upward"

long=$(git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' '*.sh' | xargs wc -l | awk '$1 > 800 && $2 != "total"')
[ -n "$long" ] && complain "files over 800 lines:" "$long"
names=$(git ls-files | grep -E '(^|/)(utils?|helpers?|misc|common)(\.|/|_)')
[ -n "$names" ] && complain "names that say nothing:" "$names"
openmp=$(git grep -nE 'omp\.h|#pragma omp parallel|omp_(get|set)_' -- '*.cpp' '*.h' | grep -v '^framework/core/threads')
[ -n "$openmp" ] && complain "OpenMP outside core/threads:" "$openmp"
marks=$(git grep -nE 'TODO|FIXME|\bXXX\b|GTEST_SKIP|DISABLED_|EXPECT_TRUE\(true\)' -- '*.cpp' '*.h' '*.sh' ':!tests/guards.sh')
[ -n "$marks" ] && complain "left-over marks or switched-off checks:" "$marks"
bytes=$(git ls-files '*.cpp' '*.h' '*.sh' '*.md' '*.yaml' '*.txt' | LC_ALL=C xargs grep -nP '[^\x00-\x7F]')
[ -n "$bytes" ] && complain "bytes that are not ASCII:" "$bytes"

# Third-party headers, each where it belongs.
only() { # PATTERN ALLOWED
  local found
  found=$(git grep -nE "#include <($1)" -- framework parallel models | grep -vE "^($2)")
  [ -n "$found" ] && complain "headers of $1 outside $2:" "$found"
}
only 'dnnl' 'framework/kernels/onednn/|framework/program/commands/doctor'
only 'mpi\.h' 'parallel/comm/mpi'
only 'yaml-cpp' 'framework/io/yaml'
only 'nlohmann' 'framework/io/json'
only 'spdlog' 'framework/core/log'
only 'CLI/' 'framework/program/commands/command_line'
only 'sentencepiece' 'framework/data/tokenizer'
only 'zlib' 'framework/data/gzip_stream'
only 'zstd' 'framework/data/zstd_stream'
only 'immintrin|x86intrin' 'framework/kernels/cpu/'

alone() { # HEADER: compiles with nothing before it
  local flags=(-std=c++20 -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Werror -I. -fopenmp-simd -DOMPI_SKIP_MPICXX)
  case $1 in framework/kernels/cpu/*) flags+=(-march=x86-64-v3 -DOG_ISA=avx2) ;; esac
  case $1 in parallel/*) read -ra more < <(mpicc --showme:compile) && flags+=("${more[@]}") ;; esac
  printf '#include "%s"\n' "$1" | "${CXX:-g++}" "${flags[@]}" -fsyntax-only -x c++ - 2>&1 | sed "s|^|$1: |" | head -n 5
}
if [ "${1:-}" = --full ]; then
  export -f alone
  dependent=$(git ls-files '*.h' | xargs -P "$(nproc)" -I{} bash -c 'alone {}')
  [ -n "$dependent" ] && complain "headers that do not compile alone:" "$dependent"
fi
[ $broken -eq 0 ] && echo "guards: nothing to complain about"
exit $broken
