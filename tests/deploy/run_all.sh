#!/usr/bin/env bash
# The package, a site of two boxes, and pods of the image, each made and run as its users do; then
# the root of the arm64 image, if build-arm64/shoal is built. Some minutes; as root, on a machine
# that lets root make namespaces and mounts. build/shoal must be built (scripts/test.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

scripts/deps.sh deploy
(cd build && cpack)
package=$(echo build/shoal_*.deb)
export PYTHONPATH=tests/nemesis
.cache/venv/bin/python tests/deploy/package_test.py "$package"
.cache/venv/bin/python tests/deploy/site_test.py "$package"
.cache/venv/bin/python tests/deploy/kube_play_test.py build/shoal
if [[ -x build-arm64/shoal ]]; then
  .cache/venv/bin/python tests/deploy/arm64_image_test.py build/shoal build-arm64/shoal
else
  echo 'run_all: the arm64 image was not tested: no build-arm64/shoal; cmake --preset arm64 and build it'
fi
