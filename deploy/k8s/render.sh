#!/usr/bin/env bash
# Writes base/shoal.yaml from the chart. A test holds the two against each other.
#
#   deploy/k8s/render.sh [HELM]      default: helm from the PATH
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
{
  echo '# Made by ../render.sh from ../helm; change that.'
  "${1:-helm}" template shoal helm --namespace shoal
} >base/shoal.yaml
