#!/usr/bin/env bash
# Runs fuzzers of the `fuzz` preset's build, all of them unless some are named, each so many times:
#   scripts/fuzz.sh RUNS [NAME_fuzz...]
# 20000 runs are what every change gets, 200000 a long job. Prints executions and coverage of each;
# fails where one finds something, leaving its input in build-fuzz, or is not built. Inputs that
# reached new code stay in build-fuzz/corpus. SHOAL_FUZZ_JOBS: how many at once, one per core.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ! ${1-} =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: scripts/fuzz.sh RUNS [NAME_fuzz...]" >&2
  exit 2
fi
export runs=$1
shift
mapfile -t known < <(git ls-files '*CMakeLists.txt' | xargs sed -n 's/^ *shoal_fuzz(\([a-z0-9_]*\).*/\1/p' | sort)
names=("${@:-${known[@]}}")
logs=$(mktemp -d)
export logs
trap 'rm -rf "$logs"' EXIT

run_fuzzer() {
  local name=$1 binary log=$logs/$1.log words=()
  [[ ! -f tests/data/fuzz/${name%_fuzz}.dict ]] || words=(-dict="tests/data/fuzz/${name%_fuzz}.dict")
  binary=$(find build-fuzz -type f -name "$name")
  mkdir -p "build-fuzz/corpus/$name"
  if ! timeout $((runs / 50 + 120)) "$binary" -runs="$runs" -seed=1 -timeout=20 \
    -rss_limit_mb=4096 "${words[@]}" -print_final_stats=1 -artifact_prefix="build-fuzz/$name-" \
    "build-fuzz/corpus/$name" "tests/data/fuzz/${name%_fuzz}" >"$log" 2>&1; then
    tail -n 60 "$log"
    echo "fuzz: $name failed"
    return 1
  fi
  printf '%s: %s executions; %s\n' "$name" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
    "$(sed -n 's/^.*DONE *\(cov: [0-9]* ft: [0-9]* corp: [^ ]*\).*/\1/p' "$log")"
}
export -f run_fuzzer

for name in "${names[@]}"; do
  [[ -n $(find build-fuzz -type f -name "$name") ]] || {
    echo "fuzz: $name is not built: cmake --preset fuzz; cmake --build --preset fuzz --target fuzzers" >&2
    exit 1
  }
done
# Sanitizers of clang 14 expect the narrower address randomization of older kernels.
printf '%s\n' "${names[@]}" |
  setarch "$(uname -m)" --addr-no-randomize xargs -P "${SHOAL_FUZZ_JOBS:-$(nproc)}" -I{} bash -c 'run_fuzzer {}'
