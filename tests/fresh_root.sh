#!/usr/bin/env bash
# launch/install.sh and launch/build.sh in a Debian that has nothing but its base (debootstrap): the script that the quickstart and the images
# use installs all that the program needs. Then the program runs there: doctor, a training on two ranks, a sample. About six minutes.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/tests/program/expect.sh"
not_run() {
  echo "not run: a fresh root ($1)"
  finish
  exit
}
[ "$(id -u)" -eq 0 ] || not_run "needs root"
command -v debootstrap >/dev/null || not_run "needs debootstrap"
unshare --mount --pid --fork true 2>/dev/null || not_run "needs mount and process namespaces"
# Where this machine gets its packages from.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
  sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) bookworm .*/\2/p' | grep -v security | head -n 1)
mirror=${mirror:-http://deb.debian.org/debian}
fresh=$(mktemp -d /var/tmp/onegather-fresh.XXXXXX)
chmod 755 "$fresh"
trap 'rm -rf --one-file-system "$fresh" "$work"' EXIT
debootstrap --variant=minbase bookworm "$fresh" "$mirror" >debootstrap.txt 2>&1 || not_run "debootstrap from $mirror: $(tail -n 1 debootstrap.txt)"
pass "a Debian of $(du -sm --one-file-system "$fresh" | cut -f 1) MB"
# How packages are reached from here is the machine's business, what is installed the script's.
cp /etc/resolv.conf "$fresh/etc/resolv.conf"
cp -rL /etc/apt/sources.list* /etc/apt/apt.conf.d /etc/apt/auth.conf.d /etc/apt/keyrings "$fresh/etc/apt/" 2>/dev/null
mkdir -p "$fresh/work"
(cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 tar cf - --ignore-failed-read 2>/dev/null) | tar xf - -C "$fresh/work"

# inside COMMAND: a shell in the fresh root with its own mounts and processes, which end with it.
inside() {
  unshare --mount --pid --fork --kill-child sh -c "mount --make-rprivate / && mount -t proc proc '$fresh/proc' &&
    mount --rbind /dev '$fresh/dev' && mount --rbind /sys '$fresh/sys' &&
    exec chroot '$fresh' /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 sh -c 'cd /work && $1'"
}
expect "the packages are named to a user without root" 1 'sudo apt-get install -y' inside "chmod -R a+rX . && su nobody -s /bin/sh -c launch/install.sh"
expect "it installs and builds" 0 'Linking CXX executable onegather' inside launch/build.sh
expect "the program tells its version" 0 '^onegather ' inside "build/onegather --version"
expect "doctor finds MPI and oneDNN" 0 'MPI' inside "build/onegather doctor"
cp "$root/tests/program/configs/tiny.yaml" "$fresh/work/tiny.yaml"
head -c 20000 /usr/share/common-licenses/GPL-3 >"$fresh/work/text.txt"
expect "two ranks train" 0 'done: 20 steps' inside "launch/mpirun.sh tiny.yaml --ranks 2 parallel.sequence=2"
expect "and draw their losses" 0 'loss.png' inside "ls run/loss.png"
expect "and sample" 0 'tokens/s' inside "build/onegather generate run --prompt the --tokens 8"
finish
