"""Addresses of what the reference links to elsewhere, so that a build needs no network.

`docs/conf.py` gives intersphinx the files that `mapping` makes. With DOCS_ONLINE=1 intersphinx
reads the inventories of the sites instead.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

# By site: its address, and the pages of the classes that docstrings name ($: the name itself).
SITES: dict[str, tuple[str, dict[str, str]]] = {
    "python": (
        "https://docs.python.org/3",
        {
            "int": "library/functions.html#int",
            "float": "library/functions.html#float",
            "bool": "library/functions.html#bool",
            "str": "library/stdtypes.html#str",
            "dict": "library/stdtypes.html#dict",
        },
    ),
    "xarray": (
        "https://docs.xarray.dev/en/stable",
        {
            "xarray.Dataset": "generated/xarray.Dataset.html#$",
            "xarray.DataArray": "generated/xarray.DataArray.html#$",
            "xarray.DataTree": "generated/xarray.DataTree.html#$",
        },
    ),
    "numpy": (
        "https://numpy.org/doc/stable",
        {"numpy.ndarray": "reference/generated/numpy.ndarray.html#$"},
    ),
    "pandas": (
        "https://pandas.pydata.org/docs",
        {"pandas.DataFrame": "reference/api/pandas.DataFrame.html#$"},
    ),
    "torch": (
        "https://docs.pytorch.org/docs/stable",
        {
            "torch.Tensor": "tensors.html#$",
            "torch.nn.Module": "generated/torch.nn.Module.html#$",
        },
    ),
    "dask": (
        "https://docs.dask.org/en/stable",
        {"dask.array.Array": "generated/dask.array.Array.html#$"},
    ),
    "matplotlib": (
        "https://matplotlib.org/stable",
        {
            "matplotlib.axes.Axes": "api/_as_gen/matplotlib.axes.Axes.html#$",
            "matplotlib.figure.Figure": "api/_as_gen/matplotlib.figure.Figure.html#$",
            "matplotlib.animation.FuncAnimation": (
                "api/_as_gen/matplotlib.animation.FuncAnimation.html#$"
            ),
        },
    ),
}


def mapping(folder: Path, online: bool = False) -> dict[str, tuple[str, str | None]]:
    """Return `intersphinx_mapping`, and write the inventories that it reads into a folder."""
    if online:
        return {site: (address, None) for site, (address, _) in SITES.items()}
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, tuple[str, str | None]] = {}
    for site, (address, classes) in SITES.items():
        lines = "".join(f"{name} py:class 1 {page} -\n" for name, page in classes.items())
        head = (
            f"# Sphinx inventory version 2\n# Project: {site}\n# Version: \n"
            "# The remainder of this file is compressed using zlib.\n"
        )
        path = folder / f"{site}.inv"
        path.write_bytes(head.encode() + zlib.compress(lines.encode()))
        found[site] = (address, str(path))
    return found


def linked(text: str) -> str:
    """Return the text with a link at each class of `SITES`, which it names without its module."""
    classes = {name.rpartition(".")[2]: name for _, named in SITES.values() for name in named}
    words = re.compile(rf"(?<![\w`.:])({'|'.join(classes)})(?![\w`])")
    return words.sub(lambda found: f":py:class:`{found[1]} <{classes[found[1]]}>`", text)
