#!/usr/bin/env bash
# Runs the demo from a fresh checkout: makes .venv when missing, trains, tests, writes demo_output/report/index.html.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/venv.sh
ensure_venv plot
exec .venv/bin/segcaffe demo "$@"
