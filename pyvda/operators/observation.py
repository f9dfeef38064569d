"""Observation operators: how the observed values follow from the state.

    Mask                the observations are components of the state, NaN in gaps
    SparseLinear        each datum is a linear combination of components, a row of a sparse matrix
    Interpolation       each datum lies at a point, between the model's coordinates
    FunctionOperator    any function in torch, nonlinear too
    JuliaFunction       any function in a Julia file, nonlinear too

An operator is given to `pyvda.assimilate(ds, operator=...)`. It turns the Dataset into the form
that methods take: state vectors, point observations (see `pyvda.io.tables.point_observations`), or
channels (see `pyvda.io.tables.channels`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

    from pyvda.models.model import Model


class ObservationOperator(ABC):
    """What was observed, as an operator on states.

    An operator of your own has the method `observations`.

    Examples
    --------
    >>> import xarray as xr
    >>> class Averages(ObservationOperator):
    ...     def observations(self, ds, model, variable=None):
    ...         return ds.rolling(time=3, center=True).mean()
    >>> Averages().observations(xr.Dataset({"x": ("time", [0.0, 3.0, 6.0])}), None).x.values
    array([nan,  3., nan])
    """

    @abstractmethod
    def observations(
        self, ds: xr.Dataset, model: Model, variable: str | Sequence[str] | None = None
    ) -> xr.Dataset:
        """Return the observations in `ds` in the form that `pyvda.assimilate` takes.

        Parameters
        ----------
        ds : Dataset
        model : Model
        variable : str or sequence of str, optional
            The observed variable, where `ds` leaves a choice.

        Raises
        ------
        InputError
            When `ds` does not fit the operator, or the operator the model.
        """


class Mask(ObservationOperator):
    """Components of the state, NaN where there is no observation: the default.

    Examples
    --------
    >>> pyvda.assimilate(obs, model="lorenz63", operator=Mask())  # doctest: +SKIP
    """

    def observations(
        self, ds: xr.Dataset, model: Model, variable: str | Sequence[str] | None = None
    ) -> xr.Dataset:
        """Return `ds` as it is."""
        return ds
