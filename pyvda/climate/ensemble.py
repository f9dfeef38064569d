"""An ensemble of states at the end of an analysis or a forecast: the start of the next window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda import names
from pyvda.engine.interface import Array
from pyvda.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

CYCLE = "cycle"  # attribute of `final_ensemble`: how many analyses and forecasts led to it
_FEWEST = 3


@dataclass(frozen=True)
class Ensemble:
    """States that are equally likely, and how many analyses and forecasts led to them.

    Attributes
    ----------
    members : (N, D)
        In the state's units.
    cycle : int
        It belongs to the seed of the model error, so that no window repeats the noise of another.
    """

    members: Array
    cycle: int = 1

    @property
    def mean(self) -> Array:
        """Return the mean of the members, (D,)."""
        return np.asarray(self.members.mean(0))

    def covariance(self) -> Array:
        """Return the sample covariance of the members, (D, D).

        Raises
        ------
        InputError
            There are no more members than components, so that it would be singular.
        """
        count, size = self.members.shape
        if count <= size:
            raise InputError(
                f"the background is an ensemble of {count} members, and a covariance of {size} "
                f"components needs {size + 1}; assimilate with ensemble-smoother, which takes the "
                "members themselves, or make the ensemble larger"
            )
        return np.atleast_2d(np.cov(self.members.T))


def ensembles_in(given: Any) -> list[Ensemble] | None:
    """Return the ensemble at the last step of each window; None: there is no `final_ensemble`.

    Parameters
    ----------
    given : Dataset, str or path
        An analysis or a forecast, or its file.

    Raises
    ------
    InputError
        The file cannot be read, a window has members that are not finite, or fewer than three.
    """
    from pyvda.io.netcdf import open_dataset

    analysis: xr.Dataset = open_dataset(given) if isinstance(given, str | Path) else given
    if names.FINAL_ENSEMBLE not in analysis:
        return None
    array = analysis[names.FINAL_ENSEMBLE]
    expected = (names.WINDOW, *names.OUTPUT_DIMENSIONS[names.FINAL_ENSEMBLE])
    if set(array.dims) != set(expected):
        raise InputError(
            f"{names.FINAL_ENSEMBLE} has the dimensions {', '.join(map(str, array.dims))}, "
            f"expected {', '.join(expected)}; give a file as `pyvda assimilate` made it"
        )
    members = array.transpose(*expected).values.astype(float)
    if members.shape[1] < _FEWEST:
        raise InputError(
            f"the background is an ensemble of {members.shape[1]} members, expected at least "
            f"{_FEWEST}; make the analysis with more (--set members=100)"
        )
    if is_merged(analysis):
        members = members[-1:]
    bad = ~np.isfinite(members).all((1, 2))
    if bad.any():
        raise InputError(
            f"window {int(bad.argmax())} of the analysis has no finite members at its end, so that "
            "it cannot be a background; leave the window out"
        )
    cycle = int(array.attrs.get(CYCLE, 1))
    return [Ensemble(one, cycle) for one in members]


def is_merged(analysis: xr.Dataset) -> bool:
    """Tell whether windows of a series were merged, so that its end is that of the last window."""
    from pyvda.io.cf.layout import restacked

    if names.FORECAST in analysis:
        return names.WINDOW not in analysis[names.FORECAST].dims
    ds = restacked(analysis)
    return names.ANALYSIS in ds and names.WINDOW not in ds[names.ANALYSIS].dims
