#!/usr/bin/env bash
# Runs every check from a fresh checkout: makes .venv when missing, then lint, format, types, the site and tests.
# Arguments go to pytest: bash tools/test.sh -m "not slow" -k Convolution
# Up to four processes run the tests, each of which takes memory; -n 0 makes it one, as --pdb needs.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/venv.sh
ensure_venv dev
.venv/bin/ruff check .
.venv/bin/ruff format --check --quiet . || { echo "Run: .venv/bin/ruff format ."; exit 1; }
.venv/bin/mypy
# A run of everything; with arguments it is about some of the tests.
[ $# -gt 0 ] || .venv/bin/python tools/make_site.py
exec .venv/bin/python -m pytest -m "not gpu" -n auto --maxprocesses 4 --dist worksteal "$@"
