#!/usr/bin/env bash
# Find a Julia (>= 1.5) for the engine, or install one; write its path to .venv/julia and print it in
# one line. In this order: PYVDA_JULIA, `julia` on PATH, the one that an earlier run installed,
# juliapkg's, Debian 11's (as root). Without any, .venv/julia is empty and the torch engine runs.
# Every download or installation is announced before it starts; PYVDA_JULIA=none declines them all.
set -euo pipefail
cd "$(dirname "$0")/.."
found=.venv/julia

say() { printf 'setup: %s\n' "$*" >&2; }
# Where there is `timeout`, a Julia that does not answer within a minute is none.
works() { $(command -v timeout >/dev/null && echo timeout 60) "$1" --startup-file=no -e 'exit(VERSION >= v"1.5" ? 0 : 1)' >/dev/null 2>&1; }
take() { # path, where it came from
    printf '%s\n' "$1" > "$found"
    say "$("$1" --version), $2: $1"
    # Compile pyvda's Julia code once, where Julia keeps none itself (pyvda/engine/julia/image.py).
    PYVDA_JULIA=$1 .venv/bin/python -m pyvda.engine.julia.build_image || say "it compiles in every process"
    exit 0
}

if [ "${PYVDA_JULIA:-}" = none ]; then
    : > "$found"
    say "PYVDA_JULIA=none: nothing is installed, the torch engine will run (rm $found to look for a Julia again)"
    exit 0
fi
if [ -n "${PYVDA_JULIA:-}" ]; then
    works "$PYVDA_JULIA" && take "$PYVDA_JULIA" "named by PYVDA_JULIA"
    say "PYVDA_JULIA=$PYVDA_JULIA is not a Julia >= 1.5 that starts; correct it or unset it"
    exit 1
fi
if julia=$(command -v julia) && works "$julia"; then take "$julia" "on PATH"; fi
if [ -s "$found" ] && works "$(cat "$found")"; then take "$(cat "$found")" "got earlier"; fi
if [ -e "$found" ] && [ ! -s "$found" ]; then
    say "no Julia, the torch engine will run; rm $found to look for one again"
    exit 0
fi

# The next steps change the machine: announce them, and give a user at a terminal time to stop them.
announce() {
    say "$1"
    say "to decline, stop this (Ctrl-C) and set PYVDA_JULIA=none (torch engine, slower), or PYVDA_JULIA=/path/to/julia"
    if [ -t 2 ]; then sleep "${PYVDA_SETUP_WAIT:-10}"; fi
}

# Offline, juliapkg must fail within seconds, but sets no time limit on its downloads.
announce "no julia on PATH: juliapkg is going to download the newest Julia into .venv (some 200 MB, once)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if .venv/bin/python - >"$log" 2>&1 <<'PYTHON'
import signal
import socket

socket.setdefaulttimeout(10)
signal.alarm(1800)
import juliapkg

juliapkg.resolve()
print(juliapkg.executable())
PYTHON
then
    julia=$(tail -n 1 "$log")
    works "$julia" && take "$julia" "fetched by juliapkg"
fi
say "juliapkg could not get one: $(tail -n 1 "$log" | cut -c 1-200)"

if scripts/install_julia_debian.sh && julia=$(command -v julia) && works "$julia"; then
    take "$julia" "Debian's own package"
fi
: > "$found"
say "no Julia could be had: the torch engine will run, slower (install Julia >= 1.5 and rm $found)"
