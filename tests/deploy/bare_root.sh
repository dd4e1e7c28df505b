#!/usr/bin/env bash
# README's two commands in a bare Debian 12 with nothing but apt and a clone, timed.
#
#   tests/deploy/bare_root.sh [DEBIAN.tar]      default: debootstrap makes the root. Needs root
#
# The clone is of what is committed here. Arguments for ctest come from CTEST_ARGS. With CCACHE_DIR
# the build finds that cache of objects, and its time says nothing of a new machine's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

root=$(mktemp -d)
readonly root
finish() {
  umount -l "$root/root/.cache/ccache" 2>/dev/null || true
  umount -l "$root/proc" 2>/dev/null || true
  rm -rf --one-file-system "$root"
}
trap finish EXIT

if [[ -n ${1:-} ]]; then
  tar -xf "$1" -C "$root"
else
  debootstrap --variant=minbase bookworm "$root" >&2
fi
if compgen -G '/etc/apt/sources.list.d/*.sources' >/dev/null; then
  : >"$root/etc/apt/sources.list"
  cp /etc/apt/sources.list.d/*.sources "$root/etc/apt/sources.list.d/"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
# Certificate authorities that packages come through here, and pip's settings.
cp -r /usr/local/share/ca-certificates "$root/usr/local/share/"
if [[ -e /etc/pip.conf ]]; then cp /etc/pip.conf "$root/etc/"; fi
if [[ -e $root/usr/sbin/update-ca-certificates ]]; then chroot "$root" update-ca-certificates >&2; fi
mount -t proc proc "$root/proc"
git clone -q --no-local "file://$PWD" "$root/root/shoal"

if [[ -n ${CCACHE_DIR:-} ]]; then
  mkdir -p "$root/root/.cache/ccache"
  mount --bind "$CCACHE_DIR" "$root/root/.cache/ccache"
fi

inside() {
  echo "=== $*" >&2
  local begin=$SECONDS
  chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
    CCACHE_BASEDIR=/root/shoal CCACHE_NOHASHDIR=1 bash -c "cd /root/shoal && $*"
  echo "=== $((SECONDS - begin)) s: $*" >&2
}
inside 'apt-get -q update >&2 && scripts/up.sh --once "Tell me a story about a fox and a kite."'
inside "scripts/test.sh ${CTEST_ARGS:-}"
