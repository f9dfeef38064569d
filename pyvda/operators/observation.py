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

from pyvda.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from pyvda.engine.data import Array
    from pyvda.models.model import Model
    from pyvda.operators.correlated_errors import CorrelatedErrors
    from pyvda.state.space import StateSpace


class ObservationOperator(ABC):
    r"""An observation operator H, which maps states to observed values.

    .. math:: y(t_k) = H x(t_k) + ε_k, \qquad ε_k ∼ N(0, R)

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
    r"""Components of the state, NaN where there is no observation: the default.

    .. math:: y_d(t_k) = x_d(t_k) + ε, \qquad (k, d) ∈ Ω

    Parameters
    ----------
    errors : CorrelatedErrors, optional
        How the errors of data of one variable at the same time are correlated, along the dimensions
        of the model's variables, or a coordinate along `state`. Errors of different variables are
        independent. The data become combinations of components, as those of a `SparseLinear`
        operator, for methods that take such; a time may have some hundred. Default: not at all.

    Examples
    --------
    >>> pyvda.assimilate(obs, model="lorenz63", operator=Mask())  # doctest: +SKIP

    Errors with a correlation length of 50 along `x`:

    >>> from pyvda.operators import CorrelatedErrors
    >>> mask = Mask(errors=CorrelatedErrors(50.0, "x"))
    """

    def __init__(self, errors: CorrelatedErrors | None = None) -> None:
        from pyvda.operators.correlated_errors import correlated_or_none

        self.errors = correlated_or_none(errors)

    def observations(
        self, ds: xr.Dataset, model: Model, variable: str | Sequence[str] | None = None
    ) -> xr.Dataset:
        """Return `ds` as it is; errors are taken into account once its components are known."""
        return ds


def check_variables(named: Array, space: StateSpace, model: str) -> None:
    """Raise InputError unless each of the names (n,) is a variable of the model's state."""
    unknown = sorted(set(named.tolist()) - set(space.names))
    if unknown:
        raise InputError(
            f"{unknown[0]!r} is not a variable of {model}; it has {', '.join(space.names)}"
        )
