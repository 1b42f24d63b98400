#!/usr/bin/env bash
# Runs every check from a fresh checkout: makes .venv when missing, then lint, format, types, the site and tests.
# Arguments go to pytest: bash tools/test.sh -m "not slow" -k Convolution
# Two processes run the tests; -n 4 makes it four, each of 0.5 GB and more, -n 0 none but pytest's own, as --pdb needs.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/venv.sh
ensure_venv dev
# WITH_TORCH=1 installs PyTorch, too; without it the tests of exports to it are skipped.
[ -z "${WITH_TORCH:-}" ] || ensure_requirements tools/torch.txt
.venv/bin/ruff check .
.venv/bin/ruff format --check --quiet . || { echo "Run: .venv/bin/ruff format ."; exit 1; }
.venv/bin/mypy
# A run of everything; with arguments it is about some of the tests.
[ $# -gt 0 ] || .venv/bin/python tools/make_site.py
# Tests that are named compile the few kernels they need.
case " $* " in *" -k "* | *" tests/"*) ;; *) .venv/bin/python -m tests.compile_kernels ;; esac
exec .venv/bin/python -m pytest -m "not gpu" -n 2 --dist worksteal "$@"
