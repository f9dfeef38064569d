#!/usr/bin/env bash
# Make .venv: pyvda, editable, with its development tools. Running it again has no effect until pyproject.toml
# or constraints.txt changes.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }

# Find the first Python >= 3.11 that can make environments; PYTHON=... overrides the choice.
find_python() {
    local python
    for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$python"
            return
        fi
    done
    say "needs Python >= 3.11 with its venv module, found $(python3 --version 2>&1 || true);" \
        "install one (Debian: python3 and python3-venv) or name it: make setup PYTHON=/path/to/python3"
    return 1
}

stamp=.venv/installed
wanted="$PWD $(cat pyproject.toml constraints.txt | cksum)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || ! .venv/bin/python -c 'import pyvda' 2>/dev/null; then
    rm -f "$stamp"
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv
    fi
    say "installing pyvda and its tools into .venv (some minutes the first time)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt --editable '.[dev]'
    printf '%s\n' "$wanted" > "$stamp"
fi
