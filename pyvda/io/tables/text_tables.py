"""Tables in text files (CSV), as spreadsheets, servers, instruments and people write them.

Lines that begin with `#` are passed over, unless the names of the columns stand in one, and so is a
row of units below the names. Numbers may have a decimal comma, separators of thousands, or an
exponent of Fortran. The text is UTF-8 or UTF-16, with or without a mark at its beginning, or
Latin-1.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from pyvda.errors import InputError
from pyvda.io.tables.columns import MISSING
from pyvda.notices import notice

_REAL_NUMBER = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?(\.\d+)?")  # pandas adds .1 to a second
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?")
_FORTRAN = re.compile(r"[+-]?\d*\.?\d*[dD][+-]?\d+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # 1,353: a decimal comma, or one thousand
# Numbers that only one of the two styles has: 1,353.5 and 1,353,000 or 1.353,5.
_THOUSANDS_COMMA = re.compile(r"[+-]?\d{1,3}((,\d{3})+\.\d+|(,\d{3}){2,})")
_THOUSANDS_POINT = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+")
_GROUPED = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?")
_SEPARATORS = ("\t", ";", "|", ",")
_LOOKED_AT = 50  # lines in which the separator is looked for
_TRUTH = {"True": True, "TRUE": True, "False": False, "FALSE": False}


def read(path: Path) -> pd.DataFrame:
    """Return the table in a text file.

    Raises
    ------
    InputError
        The file has no text, or numbers in place of the names of its columns.
    """
    text = _decoded(path.read_bytes())
    if not text.strip():
        raise InputError(
            f"{path} is empty, expected the names of columns and a row for each datum; check that "
            "it is the right file"
        )
    lines = [line for line in text.splitlines() if line.strip()]
    rows = [line for line in lines if not _is_remark(line)]
    separator = _separator(rows[:_LOOKED_AT])
    header = _header_among_remarks(lines, rows, separator)
    try:
        frame = _parsed(rows if header is None else [header, *rows], separator)
    except pd.errors.ParserError as error:
        raise InputError(
            f"{path} is no table with as many fields in each row as in the first "
            f"({str(error).strip().splitlines()[0]}); correct that row"
        ) from error
    frame = _without_row_numbers(frame, path)
    frame.columns = [str(name).strip() for name in frame.columns]
    numbers = [name for name in frame.columns if _REAL_NUMBER.fullmatch(name)]
    if numbers:
        raise InputError(
            f"the first line of {path} has the number {numbers[0]}, expected the names of the "
            "columns; add a line such as time,component,value"
        )
    if _begins_with_units(frame):
        frame = frame.iloc[1:].reset_index(drop=True)
    return _with_numbers(frame, separator)


def _decoded(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _is_remark(line: str) -> bool:
    return line.lstrip().startswith("#")


def _fields(line: str, separator: str) -> list[str]:
    if len(separator) > 1:
        return line.split()
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])


def _separator(rows: Sequence[str]) -> str:
    """Return what separates columns: a character, else spaces.

    That which divides most lines into as many fields as the first.
    """
    best, most = r"\s+", 0
    for one in _SEPARATORS:
        counts = [len(_fields(row, one)) for row in rows]
        if counts and counts[0] > 1 and counts.count(counts[0]) > most:
            best, most = one, counts.count(counts[0])
    return best


def _header_among_remarks(lines: Sequence[str], rows: Sequence[str], separator: str) -> str | None:
    """Return the names of the columns where a remark has them, as the files of buoys do."""
    first = _fields(rows[0], separator) if rows else []
    if not (all(map(_is_value, first)) or any(map(_REAL_NUMBER.fullmatch, first))):
        return None
    width = len(first)
    for line in lines[: lines.index(rows[0])]:
        names = line.lstrip().lstrip("#").strip()
        found = _fields(names, separator)
        if len(found) == width > 1 and not any(map(_NUMBER.fullmatch, found)):
            return names
    return None


def _is_value(text: str) -> bool:
    return not text or text in MISSING or bool(_NUMBER.fullmatch(text))


def _parsed(rows: Sequence[str], separator: str) -> pd.DataFrame:
    """Return all columns as text."""
    whole = "\n".join(row.strip() if len(separator) > 1 else row for row in rows)
    names = len(_fields(rows[0], separator)) if rows else 0
    further = [_fields(row, separator)[names:] for row in rows[1:_LOOKED_AT]]
    closed = bool(further) and all(one == [""] for one in further)  # a separator ends each line
    return pd.read_csv(
        io.StringIO(whole), sep=separator, engine="python", dtype=str, skipinitialspace=True,
        index_col=False if closed else None,
    )  # fmt: skip


def _without_row_numbers(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return a table without the numbers of its rows, which R writes without a name above them."""
    if isinstance(frame.index, pd.RangeIndex):
        return frame
    found = [str(one) for one in frame.index]
    if not any(found == [str(n + first) for n in range(len(found))] for first in (0, 1)):
        raise InputError(
            f"the rows of {path} have more fields than there are names of columns "
            f"({', '.join(map(str, frame.columns))}), expected a name for each; add the others"
        )
    return frame.reset_index(drop=True)


def _begins_with_units(frame: pd.DataFrame) -> bool:
    """Tell whether the first row has units: text above numbers, no number, and no second date."""
    if len(frame) < 2:
        return False
    above = False
    for name in frame.columns:
        first, rest = frame[name].iloc[0], frame[name].iloc[1:].dropna()
        if isinstance(first, str) and _is_value(first.strip()):
            return False
        if isinstance(first, str) and len(rest) and _is_alike(first, rest.iloc[0]):
            return False
        numbers = len(rest) > 0 and all(_is_value(one.strip()) for one in rest.iloc[:_LOOKED_AT])
        above = above or (numbers and isinstance(first, str))
    return above


def _is_alike(one: str, other: str) -> bool:
    """Tell whether two texts with digits differ in these alone, as dates do."""
    first, second = (re.sub(r"\d", "0", text.strip()) for text in (one, other))
    return first == second and "0" in first


def _with_numbers(frame: pd.DataFrame, separator: str) -> pd.DataFrame:
    """Return a table of text with numbers where a column holds nothing else."""
    made: list[pd.Series] = []
    odd: dict[int, pd.Series] = {}  # text with what is no plain number
    points = False  # whether plain numbers have decimal points
    for number in range(frame.shape[1]):
        column = frame.iloc[:, number].str.strip()
        there = column[column.notna() & ~column.isin(MISSING)]
        found = pd.to_numeric(column.where(~column.isin(MISSING)), errors="coerce")
        if len(there) == len(column) and there.isin(list(_TRUTH)).all():
            made.append(column.map(_TRUTH))
        elif found.notna().sum() == len(there):
            made.append(found)
            points = points or bool(there.str.contains(".", regex=False).any())
        else:
            made.append(column)
            odd[number] = there
    commas = _has_decimal_commas(odd.values(), separator, points)
    for number, there in odd.items():
        plain = _plain_numbers(there, commas)
        if plain is not None:
            made[number] = plain.reindex(frame.index)
    return pd.concat(made, axis=1, ignore_index=True).set_axis(frame.columns, axis=1)


def _has_decimal_commas(columns: Collection[pd.Series], separator: str, points: bool) -> bool:
    """Tell whether commas in columns of text are decimal marks; else they separate thousands.

    They do beside columns of numbers with decimal points. Where both are possible, what is chosen
    is said.
    """
    if any(column.str.fullmatch(_THOUSANDS_COMMA).any() for column in columns):
        return False
    if any(column.str.fullmatch(_THOUSANDS_POINT).any() for column in columns):
        return True
    numbers = [one[one.str.fullmatch(_DECIMAL_COMMA)] for one in columns if _is_numeric(one)]
    numbers = [one for one in numbers if len(one)]
    if not all(one.str.fullmatch(_EITHER).all() for one in numbers):
        return True
    if numbers:
        whole = any(_is_numeric(one) and one.str.fullmatch(_NUMBER).any() for one in columns)
        decimal = separator != "," and not (whole or points)
        example = numbers[0].iloc[0]
        read = example.replace(",", "." if decimal else "")
        notice(f"numbers such as {example} are read as {read}; write them without a comma if not")
        return decimal
    return False


def _is_numeric(column: pd.Series) -> bool:
    return bool((column.str.fullmatch(_DECIMAL_COMMA) | column.str.fullmatch(_NUMBER)).all())


def _plain_numbers(column: pd.Series, commas: bool) -> pd.Series | None:
    """Return the numbers of a column of text; None where it has other text."""
    fortran = column.str.fullmatch(_FORTRAN)
    text = column.where(~fortran, column.str.replace("d", "e", case=False))
    if commas:
        if text.str.fullmatch(_THOUSANDS_POINT).any():  # 1.353 beside 1.353,5
            grouped = text.str.fullmatch(_GROUPED)
            text = text.where(~grouped, text.str.replace(".", "", regex=False))
        text = text.where(
            ~text.str.fullmatch(_DECIMAL_COMMA), text.str.replace(",", ".", regex=False)
        )
    else:
        grouped = text.str.fullmatch(_THOUSANDS_COMMA) | text.str.fullmatch(_EITHER)
        text = text.where(~grouped, text.str.replace(",", "", regex=False))
    found = pd.to_numeric(text, errors="coerce")
    return None if found.isna().any() else found
