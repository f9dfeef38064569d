#!/usr/bin/env bash
# Make .venv (pyvda, editable, with its development tools) and find or install a Julia.
set -euo pipefail
cd "$(dirname "$0")/.."

SECONDS=0
scripts/environment.sh
scripts/find_julia.sh
if [ "$SECONDS" -gt 20 ]; then
    printf 'setup: took %s s; .venv has %s MB\n' "$SECONDS" "$(du -sm .venv | cut -f 1)" >&2
fi
