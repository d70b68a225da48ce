#!/usr/bin/env bash
# Installs the Debian packages that are missing. `launch/install.sh` for building and running, `launch/install.sh test` for the tests
# too, `launch/install.sh test-full` for those of tests/run.sh --full. Quick when everything is there. Without root it prints the line to run, and stops.
set -euo pipefail

packages=(
  g++ cmake ninja-build make git ca-certificates # the compiler and what drives it
  libopenmpi-dev openmpi-bin                     # ranks
  libdnnl-dev                                    # matrix products
  libyaml-cpp-dev libspdlog-dev libfmt-dev libcli11-dev nlohmann-json3-dev
  libxxhash-dev libzstd-dev zlib1g-dev libsentencepiece-dev
  gnuplot-nox                                    # loss.png
  iproute2 openssh-client util-linux procps      # several hosts: routes, starting ranks there; pgrep, setsid, lscpu
)
[[ ${1:-} = test* ]] && packages+=(libgtest-dev clang-format zstd gzip python3)
[ "${1:-}" = test-full ] && packages+=(slurm-wlm munge debootstrap)

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

line="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -ne 0 ]; then
  printf 'Missing packages. Run this, then the same command again:\n  sudo %s\n' "$line" >&2
  exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
$line -qq >/dev/null
