"""Observations as the pipeline takes them: under pyvda's names, validated, data placed in time.

A file in chunks is read twice: once for the statistics that the validation and the reference
variance need, and once to be assimilated. Where gross errors or variances are estimated first, or a
learned model is used, a sample of its windows is needed in between (`windows.windows_across`): a
file that takes little of the memory is then kept (`chunking.kept`), and of a larger one the blocks
of the sample are read a third time.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import conventions, layout
from pyvda.io.quality import validation
from pyvda.io.quality.quality_flags import GoodFlags
from pyvda.io.quality.validation import Statistics
from pyvda.io.tables import analysis_times, point_observations, rows, tables
from pyvda.io.tables.components import in_model_order
from pyvda.models.model import Model
from pyvda.notices import notice
from pyvda.operators.observation import Mask, ObservationOperator


def prepared(
    observations: xr.Dataset,
    variable: str | Sequence[str] | None,
    model: Model,
    operator: ObservationOperator | None = None,
    grid_step: float | str | None = None,
    good_flags: GoodFlags | None = None,
) -> tuple[xr.Dataset, Statistics]:
    """Return observations as state vectors of the model, in float64, validated.

    Parameters
    ----------
    observations : Dataset
        See `pyvda.assimilate`.
    variable : str or sequence of str, optional
        See `conventions.normalise`.
    model : Model
        Its state space says which variables are meant.
    operator : ObservationOperator, optional
        How the observed values follow from the state. Default: they are its components.
    grid_step : float or str, optional
        The observations are a table, and this is the step of its analysis times; with an operator,
        its `step`.
    good_flags : optional
        See `quality_flags.rules`.

    Raises
    ------
    InputError
        See `conventions.normalise`, `validation.check` and `point_observations.located`.
    """
    correlated = operator.errors if isinstance(operator, Mask) else None
    table = grid_step is not None or rows.is_table(observations, model)
    if correlated is not None and table:
        raise InputError(
            "the errors of a Mask are those of components at the analysis times, but the "
            "observations are a table; give errors to a SparseLinear or an Interpolation operator"
        )
    if operator is not None and not isinstance(operator, Mask):
        observations = rows.screened(observations, variable, good_flags)
        good_flags = None
        if grid_step is not None:
            operator = _with_step(operator, grid_step)
        observations, variable = operator.observations(observations, model, variable), None
    elif table:
        observations = analysis_times.placed(observations, model, grid_step, variable, good_flags)
        variable = good_flags = None
    said = names.REJECTED in observations.variables
    ds = conventions.normalise(observations, variable, model.state_space, good_flags)
    ds = in_model_order(conventions.as_float64(ds), model)
    if correlated is not None:
        ds = tables.of_components(ds, model, correlated)
    found = validation.check(ds, said=said)
    return point_observations.located(_without_taken_names(ds)), found


def _without_taken_names(ds: xr.Dataset) -> xr.Dataset:
    """Return observations without coordinates that have names of the analysis's variables."""
    names_of_outputs = layout.output_names(ds)
    taken = [str(name) for name in ds.coords if name in names_of_outputs]
    start = ds.coords.get(names.WINDOW_START)
    if start is not None and start.dims != (names.WINDOW,):
        taken.append(names.WINDOW_START)
    if not taken:
        return ds
    several = "s" if len(taken) > 1 else ""
    notice(
        f"the analysis is without the coordinate{several} {', '.join(taken)} of the observations, "
        f"whose name{several} its own variables have"
    )
    return ds.drop_vars(taken)


def _with_step(operator: ObservationOperator, step: float | str) -> ObservationOperator:
    """Return an operator of tables with this step of the analysis times."""
    if getattr(operator, "step", "none") is not None:
        raise InputError(
            f"grid_step would have no effect: the operator, a {type(operator).__name__}, has a "
            "step of its own or takes no table; leave out grid_step (--grid-step)"
        )
    chosen = copy.copy(operator)
    chosen.step = step  # type: ignore[attr-defined]
    return chosen
