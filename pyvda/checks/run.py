"""Checks of derivatives that a user can run on a model, on observations, or on trained weights.

    from pyvda.checks import run
    checks = run.check_model(get_model("lorenz63"))    # both engines, Euler and Runge-Kutta
    checks += run.check_learned(LearnedModel.load("runs/l63"), batch)
    run.failed(checks)

Each check is a value and a tolerance that it must not exceed; `checks/derivative_check.py` derives
the tolerances.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from pyvda.checks.derivative_check import Check, spread
from pyvda.checks.on_background import background_checks
from pyvda.checks.on_derivatives import check as verdict_of
from pyvda.checks.on_derivatives import checks_in_one_engine, verdict_checks
from pyvda.checks.on_engine import engine_checks
from pyvda.checks.on_large import large_checks
from pyvda.checks.on_objectives import objective_checks
from pyvda.checks.on_operator import check_operator
from pyvda.checks.on_parameters import parameter_checks
from pyvda.checks.on_points import point_checks
from pyvda.checks.on_torch import cost_checks, prior_step_checks, tendency_checks, torch_cost
from pyvda.climate.climatology import LARGE
from pyvda.cost import VariationalCost
from pyvda.engine import CostSettings, engine_for
from pyvda.engine.interface import Array, Scheme
from pyvda.learned.architecture import ODESection
from pyvda.models.in_torch import module_of
from pyvda.models.model import Model
from pyvda.priors.ode import ODEPrior
from pyvda.progress import ProgressReport, silent
from pyvda.state.batch import Batch

if TYPE_CHECKING:
    from rich.table import Table

    from pyvda.learned.model import LearnedModel

__all__ = [
    "Check",
    "check_cost",
    "check_learned",
    "check_model",
    "check_operator",
    "failed",
    "point",
    "summary",
    "table",
    "verdict_checks",
]

SCHEMES: tuple[Scheme, ...] = ("euler", "rk4")
_NOISE = 0.1  # in units of the states' spread: distance of the checked states from the first guess


def check_model(
    model: Model,
    batch: Batch | None = None,
    *,
    time_step: float | None = None,
    engine: str | None = None,
    tendency: nn.Module | None = None,
    seed: int = 0,
    report: ProgressReport = silent,
) -> list[Check]:
    """Check the derivatives of a model, by hand and by autograd, in Julia and in torch.

    Parameters
    ----------
    model : Model
    batch : Batch, optional
        numpy arrays (W, T, D) with the observations to check the cost on. Default: a small twin
        experiment.
    time_step : float, optional
        Time step of the batch, in model time units. Default: the model's.
    engine : str, optional
        See `pyvda.engine.get_engine`; without Julia, its checks are listed as not run.
    tendency : nn.Module, optional
        Another module for the model's equations in torch, with or without the methods
        `tangent_linear` and `adjoint`.
    seed : int
        Seed of the random directions.
    report : callable(done, total)
        Called with the number of groups of checks completed so far and their total.

    Returns
    -------
    list of Check
    """
    running = engine_for(model, engine)
    if batch is None:
        from pyvda.checks.windows import twin_windows

        batch = twin_windows(model, engine=engine, seed=seed)
    step = model.time_step if time_step is None else time_step
    if model.state_size > LARGE:
        return _of_groups(large_checks(running, model, batch, step, seed), report)
    x = point(batch, seed)
    if model.kind == "step" or (model.torch is None and tendency is None):
        checks = verdict_checks(verdict_of(model))
        report(1, 2)
        checks += checks_in_one_engine(running, model, batch, x, step, seed)
        report(2, 2)
        return checks
    tendency = module_of(model) if tendency is None else tendency

    # The tendency is the same for all schemes; it is checked along the gradient of one cost.
    of_rk4 = torch_cost(VariationalCost(ODEPrior(tendency, step, "rk4")), batch)
    groups: list[Callable[[], list[Check]]] = [
        partial(tendency_checks, tendency, x, of_rk4.gradient(x), seed)
    ]
    for scheme in SCHEMES:
        prior = ODEPrior(tendency, step, scheme)
        cost = VariationalCost(prior)
        in_torch = torch_cost(cost, batch)
        name, settings = f"torch {scheme}", CostSettings(step, scheme=scheme)
        groups += [
            partial(prior_step_checks, prior, name, x, in_torch.gradient(x), seed),
            partial(check_cost, cost, batch, name=name, x=x, seed=seed),
            partial(engine_checks, running, model, settings, batch, x, in_torch, seed),
            partial(point_checks, running, model, settings, batch, x, seed),
            partial(objective_checks, running, model, settings, x, seed),
            partial(parameter_checks, running, model, settings, x, seed),
        ]
    groups.append(partial(background_checks, running, model, CostSettings(step), x, seed))

    return _of_groups(groups, report)


def _of_groups(groups: Sequence[Callable[[], list[Check]]], report: ProgressReport) -> list[Check]:
    checks: list[Check] = []
    for done, group in enumerate(groups, 1):
        checks += group()
        report(done, len(groups))
    return checks


def check_learned(learned: LearnedModel, batch: Batch, *, seed: int = 0) -> list[Check]:
    """Check the gradient of a learned prior's cost, in the units that it was trained in.

    Parameters
    ----------
    learned : LearnedModel
        Not modified.
    batch : Batch
        numpy arrays (W, T, D) in physical units.
    seed : int
        Seed of the random directions.
    """
    model = copy.deepcopy(learned).double()
    normalised = model.normalised(batch.to(device="cpu", dtype=torch.float64))
    smooth = isinstance(learned.architecture.prior, ODESection)  # other priors have rectifiers
    return check_cost(model.cost, normalised, name="learned", seed=seed, smooth=smooth)


def check_cost(
    cost: VariationalCost,
    batch: Batch,
    *,
    name: str = "cost",
    x: Array | None = None,
    seed: int = 0,
    smooth: bool = True,
) -> list[Check]:
    """Check the gradient of a cost in torch, with any prior.

    Parameters
    ----------
    cost : VariationalCost
    batch : Batch
        numpy arrays or CPU tensors (W, T, D), in the units of the cost.
    name : str
        Prefix of the name of each check.
    x : (W, T, D), optional
        States at which the gradient is checked. Default: `point(batch)`.
    seed : int
        Seed of the random directions.
    smooth : bool
        Whether the prior has a second derivative; with kinks (ReLU) differences are less accurate.
    """
    return cost_checks(cost, batch, name, point(batch, seed) if x is None else x, seed, smooth)


def point(batch: Batch, seed: int = 0) -> Array:
    """Return states (W, T, D) at which to check: the first guess with noise added.

    At the first guess itself the misfit is zero at every observation, which would hide a wrong
    observation term.
    """
    guess = np.asarray(batch.first_guess, dtype=float)
    noise = np.random.default_rng([seed, 0]).standard_normal(guess.shape)
    return guess + _NOISE * spread(guess) * noise


def failed(checks: Sequence[Check]) -> list[Check]:
    """Return the checks that were run and did not pass."""
    return [check for check in checks if check.passed is False]


def summary(checks: Sequence[Check]) -> str:
    """Return a line with the number of checks that passed, and why some were not run."""
    passed = sum(check.passed is True for check in checks)
    text = f"{passed} of {len(checks)} checks passed"
    if failing := len(failed(checks)):
        text += f", {failing} failed"
    skipped = [check.detail for check in checks if check.passed is None]
    if skipped:
        text += f", {len(skipped)} not run: {'; '.join(dict.fromkeys(skipped))}"
    return text


def table(checks: Sequence[Check], title: str) -> Table:
    """Return the checks as a table for `rich`, including those that were not run."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    # Without vertical lines it fits into 80 columns, the width of output to a file or pipe.
    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    result.add_column("check")
    for column in ("value", "tolerance"):
        result.add_column(column, justify="right", no_wrap=True)
    result.add_column("", no_wrap=True)
    words = {True: "[green]pass[/]", False: "[bold red]FAIL[/]", None: "[dim]not run[/]"}
    for check in checks:
        numbers = ("" if x is None else f"{x:.1e}" for x in (check.value, check.tolerance))
        result.add_row(check.name, *numbers, words[check.passed])
    return result
