"""Score an analysis file against the truth of its twin experiment."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names, scores
from pyvda.engine import engine_for
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.cf.layout import restacked, sea
from pyvda.io.pairs import paired, true_states
from pyvda.io.sources.open import opened
from pyvda.io.writing.model_attributes import expect_model
from pyvda.models.model import Model
from pyvda.models.registry import changed, families, numeric, resolve
from pyvda.notices import notice
from pyvda.validation_errors import brief

INNER_STEPS = slice(20, 180)


def evaluate(
    analysis: Any,
    truth: Any,
    *,
    model: str | Model | None = None,
    parameters: Mapping[str, Any] | None = None,
    engine: str | None = None,
) -> dict[str, Array]:
    r"""Return the scores of each window.

    With the analysis x, the truth x* and the prior Φ, means over T steps and D components:

    .. math::

       \begin{aligned}
       \text{R-score} &= \frac{1}{T D} \sum_{k=1}^{T} \| x(t_k) - x^*(t_k) \|^2, \\
       \text{4DVar-score} &= U_Φ(x), \\
       \text{ODE-score} &= \frac{1}{(T-1) D} \sum_{k=2}^{T} \| x^*(t_k) - Φ(x^*)(t_k) \|^2,
       \end{aligned}

    where U is the cost of `pyvda.assimilate`.

    Parameters
    ----------
    analysis : Dataset or path
        As made by `assimilate`; the model and the time step are read from its attributes.
    truth : Dataset or path
        The variable `truth`, or the analysed variables, of the same windows as `analysis`.
    model : str or Model, optional
        The model that made the analysis. Default: the built-in model named in its attributes.
    parameters : mapping, optional
        Parameters and sizes by name, for a model given by name or file. Those not named are read
        from the analysis.
    engine : str, optional
        The engine that computes the forecasts Φ(x); see `pyvda.engine.get_engine`.

    Returns
    -------
    dict of (W,) arrays
        `r_score`, for windows of 200 steps also `r_score_steps_20_179`, `four_dvar_score`
        (λ₁ = 0.01, λ₂ = 1, every observation with weight 1) and `ode_score` (of the truth).

    Raises
    ------
    InputError
        When a dataset is not an analysis or a truth, the two do not belong together, or the model
        is not the one that made the analysis.
    """
    analysis = opened(analysis, "the argument analysis")
    truth = opened(truth, "the argument truth")
    model, time_step = check(analysis, truth, model, parameters)
    analysis, truth = restacked(analysis), true_states(truth, analysis, model.state_space)
    x = _windows(analysis[names.ANALYSIS])
    true = _windows(paired(truth[names.TRUTH], analysis[names.ANALYSIS]))
    innovation = _windows(analysis[names.INNOVATION])
    observed = np.isfinite(innovation)
    running = engine_for(model, engine)
    scored = sea(analysis, x.shape[-1])
    # Land is NaN in files and counts in no score; the model gets a number there.
    x, true = np.where(scored, x, 0.0), np.where(scored, true, 0.0)
    innovation = np.where(scored, innovation, np.nan)

    def forecast(states: Array) -> Array:
        """Return Φ: step t from step t - 1, step 0 unchanged; windows with NaN are unchanged."""
        predicted = np.array(states)
        finite = np.isfinite(states).all((1, 2))
        predicted[finite, 1:] = running.forecast(model, states[finite, :-1], time_step=time_step)
        return predicted[..., scored]

    predicted, of_truth = forecast(x), forecast(true)
    x, true, observed = x[..., scored], true[..., scored], observed[..., scored]
    innovation = innovation[..., scored]
    found = {"r_score": scores.r_score(x, true)}
    if x.shape[1] == 200:
        found["r_score_steps_20_179"] = scores.r_score(x, true, steps=INNER_STEPS)
    found["four_dvar_score"] = scores.four_dvar_score(
        x, x + innovation, observed.astype(float), predicted
    )
    found["ode_score"] = scores.ode_score(true, of_truth)
    return found


def check(
    analysis: xr.Dataset,
    truth: xr.Dataset,
    model: str | Model | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> tuple[Model, float]:
    """Check that `truth` can score `analysis`; return the model and the time step of the analysis.

    Raises
    ------
    InputError
        See `evaluate`.
    """
    expect_model(
        analysis,
        "scores need its steps (in Python, `.vda.score(truth)` of one of its variables is the mean "
        "squared error of that)",
    )
    whole = restacked(analysis)
    for name in (names.ANALYSIS, names.INNOVATION):
        if name not in whole:
            raise InputError(
                f"the file has no variable {name!r}; give one made by `pyvda assimilate`"
            )
    found = model_of(whole, model, parameters)
    true = true_states(truth, analysis, found[0].state_space)
    paired(true[names.TRUTH], whole[names.ANALYSIS])
    return found


def _windows(array: xr.DataArray) -> Array:
    values = np.asarray(array.values, dtype=float)
    return values[None] if values.ndim == 2 else values


def model_of(
    analysis: xr.Dataset,
    given: str | Model | None,
    parameters: Mapping[str, Any] | None = None,
    *,
    may_change: bool = False,
) -> tuple[Model, float]:
    """Return the model and the time step stated by the attribute pyvda_configuration.

    Parameters
    ----------
    analysis : Dataset
    given : str or Model, optional
        The model that made the analysis. Default: the built-in model of the stated name.
    parameters : mapping, optional
        Values by name in place of those of `given`.
    may_change : bool
        Whether `parameters` may have other values than the analysis.

    Raises
    ------
    InputError
        The attribute is missing or wrong, `given` has another name, size, or number of parameters,
        or a parameter has another value.
    """
    chosen = dict(parameters or {})
    try:
        configuration = json.loads(analysis.attrs["pyvda_configuration"])
        stated = configuration["model"]
        name, size = str(stated["name"]), int(stated["state_size"])
        values = tuple(float(value) for value in stated["parameters"])
        time_step = float(configuration["cost"]["time_step"])
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(
            "the file does not state which model made it (attribute pyvda_configuration); "
            "give one made by `pyvda assimilate`"
        ) from error
    if given is not None:
        model = resolve(given, chosen)
        if (model.name, model.state_size, len(model.parameters)) != (name, size, len(values)):
            raise InputError(
                f"the analysis was made with {name}, {size} components and {len(values)} "
                f"parameters, but the model given is {model.name}, {model.state_size} components "
                f"and {len(model.parameters)}; give the model that made it"
            )
        _warn_of_source(model, stated.get("source"))
        stated_by_user = model.parameter_names if isinstance(given, Model) else chosen
        model = _with_values(model, values, stated_by_user, chosen if may_change else {})
    elif name not in families():
        raise InputError(
            f"the analysis was made with {brief(name)}, which is no built-in model; give the model "
            "that made it (--model FILE, such as rossler.jl or models.py:rossler)"
        )
    else:
        try:
            sizes = tuple((str(n), int(v)) for n, v in dict(stated.get("sizes", {})).items())
            model = Model(name, size, values, float(stated["time_step"]), fields=sizes)
        except (InputError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise InputError(
                f"the attribute pyvda_configuration describes no built-in model ({error}); give "
                "the file as `pyvda assimilate` made it, or the model that made it"
            ) from error
        own = changed(model, numeric(chosen))
        model = _with_values(own, values, chosen, chosen if may_change else {})
    if not 0 < time_step < np.inf:
        raise InputError(
            f"the file states a time step of {time_step} (attribute pyvda_configuration), "
            "expected a positive number; give the file as `pyvda assimilate` made it"
        )
    if analysis[names.ANALYSIS].shape[-1] != size:
        raise InputError(
            f"the analysis has a state of {analysis[names.ANALYSIS].shape[-1]} components, but "
            f"states that it was made with {name} of size {size}; give one made by `pyvda "
            "assimilate`"
        )
    return model, time_step


def _warn_of_source(model: Model, made_with: object) -> None:
    """Warn where the source of a user's own model is not the one that made the analysis."""
    if made_with and not model.is_registered and model.source_digest not in (None, made_with):
        notice(
            f"the source of {model.name} is not the one that the analysis was made with, although "
            "name, size and parameters agree; the scores are those of the model given now"
        )


def _with_values(
    model: Model, values: tuple[float, ...], stated: Collection[str], changing: Collection[str]
) -> Model:
    """Return the model with the analysis' parameters, except for those that are to change.

    Parameters
    ----------
    model : Model
        With the user's values.
    values : tuple of float
        The analysis'.
    stated : collection of str
        Parameters whose value the user gave.
    changing : collection of str
        Those that may differ.
    """
    own = dict(zip(model.parameter_names, model.parameters, strict=True))
    made_with = dict(zip(model.parameter_names, values, strict=True))
    for name, value in own.items():
        if name in stated and name not in changing and value != made_with[name]:
            raise InputError(
                f"the analysis was made with {name} {made_with[name]}, but the model given has "
                f"{value}; give the model that made it"
            )
    return model.with_parameters(
        tuple(own[name] if name in changing else made_with[name] for name in own)
    )
