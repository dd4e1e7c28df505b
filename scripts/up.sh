#!/usr/bin/env bash
# A cluster on this machine: installs what is missing, builds, and starts a router and three workers
# with the bundled model.
#
#   scripts/up.sh [options for `shoal up`]     serves on http://127.0.0.1:8080 until Ctrl-C
#   scripts/up.sh --once "PROMPT"              prints the answer alone on standard output and stops
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly model=models/tales-moe-11m-q8_0.gguf
readonly ready_timeout_s=60

say() { echo "up: $*" >&2; }

build() {
  scripts/deps.sh build
  say 'building build/shoal (release)'
  cmake --preset release >&2
  cmake --build --preset release --target shoal >&2
}

# Whether GET /ready on that port of this machine answers 200.
is_ready() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
    read -r -t 5 _ status _ <&3
    [[ $status == 200 ]]
  ) 2>/dev/null
}

is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 12000))
    is_taken "$port" || { echo "$port"; return; }
  done
  say 'found no free port in 50 tries between 20000 and 32000'
  exit 1
}

wait_until_ready() {
  local port=$1 pid=$2 deadline=$((SECONDS + ready_timeout_s))
  until is_ready "$port"; do
    if ! kill -0 "$pid" 2>/dev/null; then
      say "the cluster ended before it was ready; its own words are above"
      exit 1
    fi
    if ((SECONDS >= deadline)); then
      say "the cluster was not ready within ${ready_timeout_s} s"
      exit 1
    fi
    sleep 0.1
  done
}

cluster=''
data_dir=''
stop_cluster() {
  if [[ -n $cluster ]] && kill -TERM "$cluster" 2>/dev/null; then
    wait "$cluster" || true
  fi
  if [[ -n $data_dir ]]; then rm -rf "$data_dir"; fi
}

answer_once() {
  local port
  port=$(free_port)
  data_dir=$(mktemp -d)
  trap stop_cluster EXIT
  say "starting three workers and a router on 127.0.0.1:$port"
  build/shoal up "$model" --workers 3 --listen "127.0.0.1:$port" --data-dir "$data_dir" >&2 &
  cluster=$!
  wait_until_ready "$port" "$cluster"
  build/shoal chat --url "http://127.0.0.1:$port" --temperature 0 --once "$1"
}

serve() {
  say 'starting three workers and a router on http://127.0.0.1:8080; Ctrl-C stops all of them'
  say 'try build/shoal chat in another terminal, or any OpenAI client'
  exec build/shoal up "$model" --workers 3 --listen 127.0.0.1:8080 "$@"
}

if [[ ${1:-} == --once ]]; then
  if (($# != 2)); then
    say 'usage: scripts/up.sh --once "PROMPT"'
    exit 2
  fi
  build
  answer_once "$2"
else
  build
  serve "$@"
fi
