"""Tell whether a netCDF classic file is complete.

The netCDF library reads zeros, without any error, where a classic file (CDF-1, 2 or 5) was cut
short: a download that broke off would look like observations of zero. So we read the header, whose
grammar is in the appendix "File Format Specifications" of the netCDF user's guide, and compare the
file's size with what it announces. (HDF5 does this itself; `scipy.io.netcdf_file` does it for CDF-1
and 2, but cannot read CDF-5.)
"""

from __future__ import annotations

import math
import os
import struct
from typing import BinaryIO

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}


def announced_size(path: str | os.PathLike[str]) -> int | None:
    """Return the number of bytes a classic file must have; None for files of another format.

    Raises
    ------
    EOFError
        When the file ends within its header.
    ValueError
        When the header breaks the grammar.
    """
    with open(path, "rb") as file:
        magic = file.read(4)
        if magic[:3] != b"CDF" or magic[3:] not in (b"\x01", b"\x02", b"\x05"):
            return None
        return _Header(file, version=magic[3]).end_of_data()


class _Header:
    """A cursor over the header; counts are 8 bytes wide in CDF-5, offsets in CDF-2 and CDF-5."""

    def __init__(self, file: BinaryIO, version: int) -> None:
        self.file = file
        self.count_format = ">q" if version == 5 else ">i"
        self.offset_format = ">i" if version == 1 else ">q"

    def number(self, format_: str) -> int:
        size = struct.calcsize(format_)
        raw = self.file.read(size)
        if len(raw) < size:
            raise EOFError("the file ends within its header")
        return int(struct.unpack(format_, raw)[0])

    def count(self) -> int:
        value = self.number(self.count_format)
        if value < -1:
            raise ValueError("the header has a negative count")
        return value

    def skip(self, size: int) -> None:
        self.file.seek(-(-size // 4) * 4, os.SEEK_CUR)  # everything is padded to 4 bytes

    def attributes(self) -> None:
        self.number(">i")
        for _ in range(self.count()):
            self.skip(self.count())
            kind = self.number(">i")
            self.skip(self.count() * self.item_size(kind))

    def item_size(self, kind: int) -> int:
        if kind not in _SIZES:
            raise ValueError(f"the header has an unknown type {kind}")
        return _SIZES[kind]

    def end_of_data(self) -> int:
        records = self.count()  # -1 while a writer streams: then only the fixed part is certain
        self.number(">i")
        dimensions = []
        for _ in range(self.count()):
            self.skip(self.count())
            dimensions.append(self.count())
        self.attributes()
        self.number(">i")
        end, in_record = 0, []
        for _ in range(self.count()):
            self.skip(self.count())
            shape = [dimensions[self.count()] for _ in range(self.count())]
            self.attributes()
            item = self.item_size(self.number(">i"))
            self.count()  # vsize: wrong by definition for large variables, so computed here
            begin = self.number(self.offset_format)
            if shape and shape[0] == 0:  # the record dimension has length 0 in the header
                in_record.append((begin, math.prod(shape[1:]) * item))
            else:
                end = max(end, begin + math.prod(shape) * item)
        # A single record variable is not padded, several are (the format's special case).
        padded = sum(-(-size // 4) * 4 for _, size in in_record)
        stride = in_record[0][1] if len(in_record) == 1 else padded
        if records > 0:
            for begin, size in in_record:
                end = max(end, begin + (records - 1) * stride + size)
        return max(end, self.file.tell())
