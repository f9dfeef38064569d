"""The attribute `history` of CF: a line for each program that made or changed a file."""

from __future__ import annotations

from datetime import UTC, datetime

import xarray as xr


def append_history(ds: xr.Dataset, line: str) -> xr.Dataset:
    """Return `ds` with a time-stamped line added to its CF `history`, newest last."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    earlier = str(ds.attrs.get("history", "")).rstrip()
    entry = f"{stamp}: {' '.join(line.split())}"
    return ds.assign_attrs(history=f"{earlier}\n{entry}" if earlier else entry)
