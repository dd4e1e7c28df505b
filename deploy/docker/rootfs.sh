#!/usr/bin/env bash
# Assembles the root of the image: the binary, the shared libraries that it loads, from this
# machine's packages, and a few files that the C library reads.
#
#   deploy/docker/rootfs.sh BINARY FOLDER      FOLDER is made anew; BINARY may be for arm64
#
# FOLDER/root is the root; FOLDER/lib is what its user owns in /var/lib, the data directory.
# usr/share/doc/shoal/packages lists what is inside, a package with its version a line, and each
# package's copyright file is there too.
set -euo pipefail

say() { echo "rootfs: $*" >&2; }
if (($# != 2)); then
  say 'usage: deploy/docker/rootfs.sh BINARY FOLDER'
  exit 2
fi
readonly binary=$1 root=$2/root
docs="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly docs ca=/etc/ssl/certs/ca-certificates.crt

case "$(readelf -h "$binary" | sed -n 's/^ *Machine: *//p')" in
  *X86-64*) readonly triplet=x86_64-linux-gnu loader=/lib64/ld-linux-x86-64.so.2 strip=strip ;;
  AArch64) readonly triplet=aarch64-linux-gnu loader=/lib/ld-linux-aarch64.so.1 strip=aarch64-linux-gnu-strip ;;
  *) say "$binary: is for neither amd64 nor arm64"; exit 1 ;;
esac

needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }

# Where Debian keeps a library of that name.
find_library() {
  local folder
  for folder in "/usr/lib/$triplet" "/lib/$triplet"; do
    [[ -e $folder/$1 ]] && { echo "$folder/$1"; return; }
  done
  say "no library $1 for $triplet: scripts/deps.sh installs it"
  exit 1
}

# Every library that `binary` loads, in the order in which it is found.
libraries() {
  local -A seen=()
  local queue=("$binary") file name
  while ((${#queue[@]} > 0)); do
    file=${queue[0]}
    queue=("${queue[@]:1}")
    for name in $(needed "$file"); do
      [[ -z ${seen[$name]:-} ]] || continue
      seen[$name]=1
      file=$(find_library "$name")
      queue+=("$file")
      echo "$file"
    done
  done
}

# The installed package that a file belongs to, as PACKAGE or PACKAGE:ARCHITECTURE.
package_of() {
  local file
  for file in "$1" "${1#/usr}" "$(readlink -f "$1")"; do
    if dpkg -S "$file" 2>/dev/null | sed -n '1s/: .*//p' | grep .; then return; fi
  done
  say "no package has $1"
  exit 1
}

copy_libraries() {
  local file package
  for file in $(libraries); do
    install -D -m 644 "$(readlink -f "$file")" "$root/usr/lib/$triplet/$(basename "$file")"
    package_of "$file"
  done | sort -u | while read -r package; do
    dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' "$package"
    install -D -m 644 "/usr/share/doc/${package%%:*}/copyright" \
      "$root/usr/share/doc/${package%%:*}/copyright"
  done >"$root/usr/share/doc/shoal/packages"
}

rm -rf "$2"
install -d -m 755 "$root"/usr/{bin,lib/"$triplet",share/doc/shoal} "$root"/{etc/ssl/certs,var/lib}
install -d -m 700 "$2/lib/shoal"
install -d -m 1777 "$root/tmp"
ln -s usr/lib "$root/lib"
[[ $loader != /lib64/* ]] || { ln -s usr/lib64 "$root/lib64"; install -d "$root/usr/lib64"; }
install -m 755 "$binary" "$root/usr/bin/shoal"
"$strip" "$root/usr/bin/shoal"
copy_libraries
loader_name=$(basename "$loader")
install -m 755 "$(readlink -f "$(find_library "$loader_name")")" "$root/usr/lib/$triplet/$loader_name"
ln -sf "/usr/lib/$triplet/$loader_name" "$root$loader"
install -m 644 "$docs/LICENSE" "$docs/NOTICE" "$root/usr/share/doc/shoal/"
[[ ! -e $ca ]] || install -m 644 "$ca" "$root/etc/ssl/certs/"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
printf '%s\n' 'root:x:0:0::/:/none' 'shoal:x:65532:65532::/var/lib/shoal:/none' >"$root/etc/passwd"
printf '%s\n' 'root:x:0:' 'shoal:x:65532:' >"$root/etc/group"
say "$(du -sm "$root" | cut -f1) MB, $(wc -l <"$root/usr/share/doc/shoal/packages") packages in $root"
