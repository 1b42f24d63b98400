#!/usr/bin/env bash
# Runs every check from a fresh checkout: makes .venv when missing, then lint, format, types and tests.
# Arguments go to pytest: bash tools/test.sh -m "not slow" -k Convolution
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/venv.sh
ensure_venv dev
.venv/bin/ruff check .
.venv/bin/ruff format --check --quiet . || { echo "Run: .venv/bin/ruff format ."; exit 1; }
.venv/bin/mypy
exec .venv/bin/python -m pytest -m "not gpu" "$@"
