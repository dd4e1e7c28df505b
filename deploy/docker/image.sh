#!/usr/bin/env bash
# Makes the image from a binary that was built here: no registry, no network, no container that
# runs. Needs podman or buildah.
#
#   deploy/docker/image.sh [BINARY [NAME]]     default: build/shoal localhost/shoal:latest
#
# The architecture is the binary's. Two runs over the same binary and packages give the same image.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readonly binary=${1:-build/shoal} name=${2:-localhost/shoal:latest}

context=$(mktemp -d)
readonly context
trap 'rm -rf "$context"' EXIT
deploy/docker/rootfs.sh "$binary" "$context/rootfs"
# The last stage of the Containerfile, with the root from here.
sed -n '/^FROM scratch/,$p' deploy/docker/Containerfile | sed 's/ --from=build//' \
  >"$context/Containerfile"
arch=amd64
[[ $(readelf -h "$binary") != *AArch64* ]] || arch=arm64
options=(-q --arch "$arch" --timestamp 0 -t "$name" -f "$context/Containerfile" "$context")
if command -v buildah >/dev/null; then
  buildah build --isolation chroot "${options[@]}" >/dev/null
  bytes=$(buildah inspect --type image --format '{{.FromImageID}}' "$name" >/dev/null &&
    buildah images --json "$name" | sed -n 's/.*"size": "\(.*\)".*/\1/p')
else
  podman build "${options[@]}" >/dev/null
  bytes=$(podman image inspect --format '{{.Size}} bytes' "$name")
fi
echo "image: $name for $arch, $bytes" >&2
