#!/usr/bin/env bash
# Builds the documentation and the API reference as a static site in build/site: makes .venv when missing, fetches
# nothing while it builds, and fails where a link leads nowhere. Argument: another folder for the site.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/venv.sh
ensure_venv dev
exec .venv/bin/python tools/make_site.py "$@"
