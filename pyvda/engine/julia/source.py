"""Location of the Julia source of pyvda."""

from __future__ import annotations

from pathlib import Path

from pyvda.errors import EngineError


def julia_source() -> Path:
    """Return the file VDA.jl: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "julia", package.parent / "julia"):
        if (folder / "src" / "VDA.jl").is_file():
            return folder / "src" / "VDA.jl"
    raise EngineError(f"no julia/src/VDA.jl in {package} or beside it; reinstall pyvda")


def installed() -> bool:
    """Tell whether the Julia source is that of an installed package, which does not change."""
    return Path(__file__).resolve().parents[2] in julia_source().parents
