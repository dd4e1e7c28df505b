#!/usr/bin/env bash
# Installs what is missing, builds everything in release mode and runs all tests.
#
#   scripts/test.sh [arguments for ctest]      for example: scripts/test.sh -R Tokenizer
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "test: $*" >&2; }

scripts/deps.sh test
say 'building into build/ (release)'
cmake --preset release >&2
cmake --build --preset release >&2
say 'running all tests'
ctest --preset release "$@"
cat >&2 <<'NEXT'
test: all passed. Next:
  scripts/up.sh                                three workers and a router with the bundled model
  build/shoal bench models/tales-moe-11m-q8_0.gguf    how fast this machine reads and writes tokens
  docs/life_of_a_token.md                      the way of one token through the code
NEXT
