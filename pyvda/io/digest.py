"""A digest of a file or folder, by which a later run knows its input again.

>>> import tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
>>> _ = path.write_text("abc")
>>> of_path(path)[:6], of_path(path) == of_path(path.parent)
('sha256', False)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

# A larger file is sampled, so that a file of 100 GB does not take minutes.
_WHOLE = 256 << 20
_PIECES, _PIECE = 256, 64 << 10


def of_path(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of sizes and contents; of files above 256 MiB 256 pieces of 64 KiB.

    Parameters
    ----------
    path : path
        A file, or a folder such as a zarr store, with all files in it.
    """
    found = hashlib.sha256()
    root = Path(path)
    for file in sorted(_files(root)):
        size = file.stat().st_size
        name = "" if file == root else file.relative_to(root).as_posix()
        found.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
        with open(file, "rb") as opened:
            if size <= _WHOLE:
                while piece := opened.read(1 << 20):
                    found.update(piece)
            else:
                for number in range(_PIECES):
                    opened.seek(number * (size - _PIECE) // (_PIECES - 1))
                    found.update(opened.read(_PIECE))
    return f"sha256:{found.hexdigest()}"


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    for folder, _, names in os.walk(root):
        yield from (Path(folder) / name for name in names if (Path(folder) / name).is_file())
