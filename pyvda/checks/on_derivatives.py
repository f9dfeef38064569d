"""The verdict on a model's own derivatives, and the checks that any engine can run on any model."""

from __future__ import annotations

from functools import partial

import numpy as np

from pyvda.checks.derivative_check import Check, difference_check, step_checks, taylor_check
from pyvda.engine import CostSettings, Engine, engine_for, get_engine
from pyvda.engine.interface import Array
from pyvda.errors import EngineError, InputError
from pyvda.models.model import Model
from pyvda.models.verdict import Verdict
from pyvda.state.batch import Batch


def check(model: Model) -> Verdict:
    """Return the verdict on the derivatives of a model.

    Tangent linear and adjoint that are written by hand are compared with dual numbers in Julia and
    with automatic differentiation in torch, entry by entry, in each language that the model has.

    Parameters
    ----------
    model : Model

    Returns
    -------
    Verdict
        `passed`, the worst entry of each derivative, and a sentence (`str`).

    Raises
    ------
    InputError
        When the functions of the model cannot be used at all.

    Examples
    --------
    >>> from pyvda import get_model
    >>> check(get_model("lorenz63")).passed
    True
    """
    found = []
    if model.torch is not None:
        from pyvda.models.torch_trial import derivatives_verdict

        found.append(derivatives_verdict(model))
    if model.julia is not None:
        try:
            engine = get_engine("julia") if model.torch is None else engine_for(model)
        except EngineError as error:
            raise InputError(
                f"the derivatives of {model.name} are in Julia, which cannot start ({error})"
            ) from error
        if hasattr(engine, "verdict"):
            found.append(engine.verdict(model))
    references = dict.fromkeys(verdict.reference for verdict in found)
    entries = tuple(entry for verdict in found for entry in verdict.worst)
    return Verdict(model.name, " and ".join(references), entries)


def verdict_checks(verdict: Verdict) -> list[Check]:
    """Return a check for each derivative that was compared."""
    rows = []
    for entry in verdict.worst:
        at = f"row {entry.row}, column {entry.column}"
        if entry.names:
            at = f"row {entry.row} ({entry.names[0]}), column {entry.column} ({entry.names[1]})"
        detail = f"{at}: expected {entry.expected:.6g}, found {entry.found:.6g}"
        rows.append(Check(f"{entry.what}, worst entry", entry.error, entry.tolerance, detail))
    if not rows:
        why = f"no derivative is written by hand: they come from {verdict.reference}"
        rows.append(Check("tangent_linear and adjoint, worst entry", None, None, why))
    return rows


def checks_in_one_engine(
    engine: Engine, model: Model, batch: Batch, x: Array, time_step: float, seed: int
) -> list[Check]:
    """Check the steps and the cost's gradient of a model that runs in this engine only.

    Parameters
    ----------
    batch : Batch
        numpy arrays (W, T, D).
    x : (W, T, D)
        The states at which to check.
    """
    name = engine.info.name
    mask, observation = (np.asarray(a, float) for a in (batch.mask, batch.observation))
    checks: list[Check] = []
    for scheme in ("rk4",) if model.kind == "step" else ("euler", "rk4"):
        settings = CostSettings(time_step, scheme=scheme)  # type: ignore[arg-type]

        def value(states: Array, settings: CostSettings = settings) -> Array:
            return engine.cost(model, settings, states, observation, mask, gradient=False).total

        def gradient(states: Array, settings: CostSettings = settings) -> Array:
            found = engine.cost(model, settings, states, observation, mask).gradient
            return np.asarray(found)

        options = {"time_step": time_step, "scheme": scheme}
        title = f"{name} step" if model.kind == "step" else f"{name} {scheme}"
        checks += step_checks(
            (f"{title}: tangent linear, by differences", f"{title}: adjoint, in ulps"),
            partial(engine.forecast, model, **options),  # type: ignore[arg-type]
            partial(engine.tangent_linear, model, **options),  # type: ignore[arg-type]
            partial(engine.adjoint, model, **options),  # type: ignore[arg-type]
            x,
            gradient(x),
            seed,
        )
        checks.append(
            difference_check(f"{title}: gradient, by differences", value, gradient, x, seed)
        )
        checks.append(taylor_check(f"{title}: gradient, Taylor test", value, gradient, x, seed))
    return checks
