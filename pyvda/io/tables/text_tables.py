"""Tables in text files (CSV), as spreadsheets and instruments write them.

The separator is found by pandas. Lines before the header that begin with `#` are passed over,
numbers may have a decimal comma, and the text is UTF-8, with or without a mark at its beginning, or
Latin-1.
"""

from __future__ import annotations

import io
import itertools
import re
from pathlib import Path

import pandas as pd

from pyvda.errors import InputError

_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
_REAL_NUMBER = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?(\.\d+)?")  # pandas adds .1 to a second


def read(path: Path) -> pd.DataFrame:
    """Return the table in a text file.

    Raises
    ------
    InputError
        The file has no text, or numbers in place of the names of its columns.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if not text.strip():
        raise InputError(
            f"{path} is empty, expected the names of columns and a row for each datum; check that "
            "it is the right file"
        )
    remarks = len(list(itertools.takewhile(_is_remark, text.splitlines())))
    frame = _parsed(text, remarks, ".")
    if any(_has_decimal_commas(frame[name]) for name in frame.columns):
        frame = _parsed(text, remarks, ",")
    frame.columns = [str(name).strip() for name in frame.columns]
    numbers = [name for name in frame.columns if _REAL_NUMBER.fullmatch(name)]
    if numbers:
        raise InputError(
            f"the first line of {path} has the number {numbers[0]}, expected the names of the "
            "columns; add a line such as time,component,value"
        )
    return frame


def _is_remark(line: str) -> bool:
    return line.lstrip().startswith("#")


def _parsed(text: str, remarks: int, decimal: str) -> pd.DataFrame:
    return pd.read_csv(
        io.StringIO(text), sep=None, engine="python", skiprows=remarks, decimal=decimal,
        skipinitialspace=True,
    )  # fmt: skip


def _has_decimal_commas(column: pd.Series) -> bool:
    texts = column.dropna()
    if column.dtype.kind not in "OT" and not isinstance(column.dtype, pd.StringDtype):
        return False
    return bool(len(texts)) and all(_DECIMAL_COMMA.fullmatch(str(one)) for one in texts)
