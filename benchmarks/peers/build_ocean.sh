#!/usr/bin/env bash
# Build the Fortran part of DAPPER's quasi-geostrophic model: build_ocean.sh PYTHON
# Without gfortran it is left out, and benchmarks/peers.py says so.
set -euo pipefail
python=$(realpath -s "$1")
if ! command -v gfortran > /dev/null; then
    echo "build_ocean: no gfortran (Debian's package of that name), so that DAPPER's ocean is left out" >&2
    exit 0
fi
PATH=$(dirname "$python"):$PATH     # meson and ninja
cd "$("$python" -c 'import importlib.util as i; print(i.find_spec("dapper").submodule_search_locations[0])')/mods/QG/f90"
exec "$python" -m numpy.f2py --backend meson -c utils.f90 parameters.f90 helmholtz.f90 calc.f90 qgflux.f90 qgstep.f90 \
    interface.f90 -m py_mod
