#!/usr/bin/env bash
# tests/guards.sh [--full]: rules of the house that a compiler does not check. Prints what breaks them; status 1 if anything does.
# --full also compiles every header alone.
set -uo pipefail
cd "$(dirname "$0")/.."
broken=0
complain() { broken=1; printf '%s\n' "$1"; [ -n "${2:-}" ] && printf '%s\n' "$2" | head -n 20 | sed 's/^/    /'; }

# Rooms. CMakeLists.txt is where their order stands: one og_layer a room, lowest first, each linking only those before it.
# Held here: a room includes only itself and rooms before it; every folder of sources is in a room; none holds more than 45 files.
rooms=$(sed -nE 's/^ *og_layer\([a-z_]+ FOLDERS ([a-z0-9_\/ ]+[a-z0-9]).*/\1/p' CMakeLists.txt | awk '!seen[$0]++')
found=$(git grep -oE '^#include "[^"]*"' -- 'framework/*.h' 'framework/*.cpp' 'parallel/*.h' 'parallel/*.cpp' 'models/*.h' 'models/*.cpp' |
  sed 's/:#include "\(.*\)"/ \1/' | awk -v rooms="$rooms" '
    BEGIN { n = split(rooms, lines, "\n"); for (i = 1; i <= n; ++i) { m = split(lines[i], f, " "); for (j = 1; j <= m; ++j) rank[f[j]] = i } }
    function room(path) { while (sub(/\/[^\/]*$/, "", path)) if (path in rank) return rank[path]; return 0 }
    room($1) == 0 && !told[$1]++ { print $1 " is in no room of CMakeLists.txt" }
    $2 != "commit.h" && (room($2) == 0 || room($2) > room($1)) { print $1 " includes " $2 }')
[ -n "$found" ] && complain "includes that point up, or out of the rooms:" "$found"
linked=$(grep -nE '(target_link_libraries\(|LINK.*)og_' CMakeLists.txt | grep -E 'og_[a-z]+ .*og_' | grep -vE 'og_kernels|og_options')
[ -n "$linked" ] && complain "CMakeLists.txt links rooms by hand; og_layer does:" "$linked"
full=$(git ls-files 'framework/*.h' 'framework/*.cpp' 'parallel/*.h' 'parallel/*.cpp' 'models/*.h' 'models/*.cpp' 'tests/*.cpp' 'tests/*.h' 'tests/*.sh' |
  sed 's|/[^/]*$||' | sort | uniq -c | awk '$1 > 45 { print $2 ": " $1 " files" }')
[ -n "$full" ] && complain "folders of more than 45 files:" "$full"

# A type name is declared once in all headers, so that a word means one thing. But Kind, inside a class: which of the
# variants a value of that class is (Json::Kind, OptionSpec::Kind); the class says the rest of the name.
twice=$(git grep -E '^ *(struct|class|enum class) [A-Z][A-Za-z0-9]*( final)?( *:[^:].*)? *(\{|$)' -- '*.h' |
  grep -vE ':  +enum class Kind\b' | sed -E 's/^([^:]*): *(struct|class|enum class) ([A-Za-z0-9]*).*/\3 \1/' |
  awk '{ n[$1]++; in_files[$1] = in_files[$1] " " $2 } END { for (t in n) if (n[t] > 1 || t == "Kind") print t ":" in_files[t] }')
[ -n "$twice" ] && complain "type names declared in more than one place:" "$twice"

# Every file that a document or a comment names is there: as written from the root, from the document's folder, or as the end of one
# path. Rooted names may leave out the extension. $own: names that stand for a file of the person who reads.
gone=$(git ls-files | perl -e '
  my @files = map { chomp; $_ } <STDIN>;
  my (%there, %stem);
  for (@files) {
    my $path = $_;
    $there{$path} = 1;
    (my $short = $path) =~ s/\.[^.\/]*$//;
    $stem{$short} = 1;
    while ($path =~ s{/[^/]+$}{}) { $there{$path} = 1 }
    for (my $end = $_; $end =~ s{^[^/]+/}{};) { $there{"*/$end"} = 1 }
  }
  my $own = qr{(^|/)(mine|base|x|tied_gate)\.(yaml|cpp|h)$|^config\.yaml$|^(loss|sweep)\.png$|^fmt/core\.h$};
  for my $file (grep { /\.(md|h|cpp|cu|cuh)$/ } @files) {
    open(my $in, "<", $file) or next;
    my ($folder) = $file =~ m{^(.*)/};
    while (my $line = <$in>) {
      if ($file !~ /\.md$/) { next unless $line =~ m{(?:^|\s)//+(.*)}; $line = $1 }
      while ($line =~ m{(?<![\w>*\}\$/.~-])(?:\./)?((?:\.\./)*[A-Za-z0-9_.][\w./-]*)(?=(\S?))}g) {
        my ($path, $after) = ($1, $2);
        $path =~ s/[.\/]+$//;
        my $rooted = $path =~ m{^(framework|parallel|models|tests|launch|configs|docs|docker)/};
        next unless $rooted || $path =~ /\.(h|cpp|cu|sh|md|sbatch|yaml|cmake|png)$/;
        next if $path =~ /^\.\w+$/ || $path =~ $own || $there{$path} || ($rooted && ($stem{$path} || $after =~ /[<*{]/));
        (my $beside = ($folder // "") . "/$path") =~ s{^/}{};
        1 while $beside =~ s{[^/]+/\.\./}{};
        next if $there{$beside} || (!$rooted && $there{"*/$path"});
        print "$file:$.: $path\n";
      }
    }
  }')
[ -n "$gone" ] && complain "files that documents or comments name and that are not there:" "$gone"

# The trial of the golden files changes formulas by their text: each text is there.
gone=$(tests/golden/trial.sh --texts)
[ -n "$gone" ] && complain "tests/golden/trial.sh changes what is no longer there:" "$gone"

# A comment says what the thing is. One that begins with "Of", or "of" at the end of a line, leaves the reader to find the subject.
riddles=$(git grep -nE '[^ /].*// of |^ *// Of ' -- '*.h' '*.cpp')
[ "$(printf '%s' "$riddles" | grep -c .)" -gt 0 ] && complain "comments that begin with \"of\":" "$riddles"

# Scripts of launch/ are told by lines of their own (launch/README.md). They do not search what the program says to people: neither the file that it is
# kept in, nor for two words and more of its messages.
steered=$(grep -nE '(grep|sed|awk|head|tail|read|cut|=~).*\$\{?kept' launch/*.sh launch/*.sbatch
  perl -e '
    my @scripts = splice @ARGV, 0, shift @ARGV;
    my $said = "";
    for (@ARGV) { open(my $in, "<", $_) or next; while (<$in>) { s{^\s*//.*}{}; $said .= lc "$1\n" while /"((?:[^"\\]|\\.)*)"/g } }
    for my $script (@scripts) {
      open(my $in, "<", $script) or next;
      while (my $line = <$in>) {
        $line =~ s/(^|\s)#.*//;
        my $patterns = join("\n", $line =~ /(?:=~|==)(.*?)\]\]|\b(?:grep|sed|awk)\b(.*)|(\*[^)]*)\)/g);
        while ($patterns =~ /([A-Za-z]+(?: [A-Za-z]+)+)/g) {
          my $words = $1;
          print "$script:$.: $words\n" if length $words > 7 && index($said, lc $words) >= 0;
        }
      }
    }' "$(git ls-files launch | wc -l)" $(git ls-files launch) $(git ls-files 'framework/*.cpp' 'parallel/*.cpp' 'models/*.cpp'))
[ -n "$steered" ] && complain "launch scripts that search what the program says to people:" "$steered"

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

# Arithmetic is in kernels. Above them nothing reads or writes a tensor's elements: no data<T>(), no at(i), no view that is kept in a variable (views
# are passed on: rows<T>(), flat<T>(), view<T, N>()), no parallel_for. The exceptions and their reasons; one that is needed no more is to go.
exceptions='
framework/autograd/check.cpp     gradients by differences: what tests check with
framework/nn/parameter.cpp       initial values, before the first step
parallel/comm/                   small messages on the host, and transports that sum there
parallel/sequence/context.cpp    starts of documents, as the loader gives them
parallel/layers/expert.cpp       rows that each rank gets, which messages need on the host
parallel/layers/vocabulary.cpp   views of a block that several kernels take'
loops=$(git grep -nE '[.>]data<|[.>]template data<|\.at\([^"]|\b(auto|View<[^;=]*>) ?[&*]* ?\w+(, \w+)* = .*\b(rows|flat|view)<|parallel_for\(' -- \
  framework/ops framework/nn framework/autograd framework/optim parallel | grep -vE ':[0-9]+: *//|\bc\.at\(' | awk -v exceptions="$exceptions" '
    BEGIN { n = split(exceptions, lines, "\n"); for (i = 1; i <= n; ++i) if (split(lines[i], f, " ")) needed[f[1]] = 0 }
    { for (path in needed) if (index($0, path) == 1) { needed[path] = 1; next } print }
    END { for (path in needed) if (!needed[path]) print path " is an exception and needs none" }')
[ -n "$loops" ] && complain "loops over elements above framework/kernels:" "$loops"

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
