"""The main idea on one page: a Dataset of observations in, a Dataset of analyses out.

    observations ─ cut ▶ windows ─ blocks ▶ BlockTask (a method) ▶ analysis ─ merge ▶ out

A method is either classical, on a known model (`pyvda.methods`), or a trained prior and solver from
a checkpoint. Observations in memory are divided by their size; observations in dask chunks stay
lazy, and each chunk of windows is a task that any process can run (`pyvda.block_task`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from pyvda import cycling, estimated_variance, names
from pyvda.block_task import Backgrounds, BlockTask
from pyvda.climate.climatology import with_climatology
from pyvda.cluster import Choice, with_engines
from pyvda.cycled_windows import cycled, waits_in_folder
from pyvda.engine import CostSettings, engine_for
from pyvda.errors import InputError
from pyvda.estimated_scales import with_scales
from pyvda.io import netcdf
from pyvda.io.cf import layout
from pyvda.io.observations import prepared
from pyvda.io.sources.open import opened
from pyvda.io.writing import attributes, blockwise, model_attributes, optional_outputs
from pyvda.io.writing.analysis import (
    HISTORY,
    POSITION,
    template,
    with_history,
    with_provenance,
)
from pyvda.judgements.expected_error import expect_posterior
from pyvda.judgements.lazy_report import with_lazy_report
from pyvda.judgements.report import with_report
from pyvda.lazy_blocks import lazily
from pyvda.learned import patterns
from pyvda.learned.description import expect_trained
from pyvda.methods import METHODS, Method, Options
from pyvda.methods.effects import expect_effects
from pyvda.methods.learned import LearnedOptions
from pyvda.models.model import Model
from pyvda.models.registry import resolve
from pyvda.models.without_code import expect_code
from pyvda.operators.from_file import resolve as operator_of
from pyvda.operators.function import FunctionOperator
from pyvda.progress import OfBlocks, ProgressReport, heard, silent
from pyvda.run_record import record
from pyvda.settings import (
    Settings,
    chosen_method,
    estimated_kind,
    estimated_scales,
    is_of_fields,
    settled,
    takes_settings,
)
from pyvda.state import chunking, windows


@takes_settings
def assimilate(observations: Any, **keywords: Any) -> xr.Dataset:
    r"""Assimilate observations, with a known model or a learned one.

    Variational methods minimise the weak-constraint cost, with the prior Φ (a step M of a known
    model) and the set Ω of the observed steps k and components d,

    .. math::

       U_Φ(x) = \frac{λ_1}{|Ω|} \sum_{(k,d) ∈ Ω} (x_d(t_k) - y_d(t_k))^2
       + \frac{λ_2}{(T-1) D} \sum_{k=2}^{T} \| x(t_k) - Φ(x)(t_k) \|^2,

    or its statistical form, with the background x_b and the covariances B, R and Q,

    .. math::

       \begin{aligned}
       J(x) = {} & \tfrac12 \| x(t_1) - x_b \|^2_{B^{-1}}
       + \tfrac12 \sum_k \| y(t_k) - H x(t_k) \|^2_{R^{-1}} \\
       & + \tfrac12 \sum_k \| x(t_{k+1}) - M(x(t_k)) \|^2_{Q^{-1}},
       \end{aligned}

    whose last term is absent if the model is exact (strong constraint). `pyvda.methods` says which
    method minimises which. Ensemble methods estimate the mean and covariance of the posterior,
    exp(-J), and methods without a model (`oi`, `eof`) interpolate.

    Parameters
    ----------
    observations : Dataset, DataArray, DataFrame, DataTree, path, URL, or a list of these
        A variable of observations `(time, state)` or `(window, time, state)` in the model's units,
        NaN where nothing was observed; perhaps its errors (standard deviations) and, in a twin
        experiment, `truth`. Dimension names and order are free as far as CF tells them apart.
        Perhaps data at arbitrary times, see `pyvda.on_grid`. Files are opened as by
        `pyvda.open_observations`. For the methods without a model (`oi`), variables over time and
        two dimensions of space, with coordinates.
    {settings}
    **options
        Fields of the options of the method, see `pyvda.methods` and `pyvda.fields.methods`.

    Returns
    -------
    Dataset
        `analysis`, `innovation`, `flag`, and for each window its cost and the cost's terms, the
        gradient's norm, `status` and `iterations`, and what the method adds (`state_stdev`, ...);
        the configuration as attributes. Lazy where the observations are, or where `block` is
        given, but of a cycle only with `state`, whose folder must then stay until the analysis is
        loaded or saved; otherwise FSGD also gives its mean cost, gradient norm and error along the
        iterations (`history_cost`, ...). Of a method without a model: the variables themselves,
        and for each its `_stdev`, `_innovation` and `_flag`.

    Raises
    ------
    InputError
        In one sentence what was found, what was expected, and the remedy.

    Examples
    --------
    >>> from pyvda import assimilate, open_observations                     # doctest: +SKIP
    >>> analysis = assimilate(open_observations("obs.nc"), model="lorenz63")  # doctest: +SKIP
    """
    settings, method_options = settled(keywords)
    with heard(settings.report) as report:
        if is_of_fields(settings):
            from pyvda.fields import assimilate as fields

            return fields.assimilate(observations, settings, method_options, report)
        return _assimilated(observations, settings, method_options, report)


def _assimilated(
    observations: Any, settings: Settings, method_options: dict[str, Any], report: ProgressReport
) -> xr.Dataset:
    """Return the analysis with a model."""
    kind = estimated_kind(method_options)
    method, options = chosen_method(settings, method_options)
    operator = operator_of(settings.operator)
    observations = opened(observations, group=settings.group, block=settings.block)
    if isinstance(operator, FunctionOperator):
        operator = operator.with_independent_errors(observations, settings.variable)
    warm = _warm_start(settings, method, options)
    bound: list[Options] = [options] if warm is None else [options, warm]
    model = named_model(settings, bound) or model_attributes.required(observations)
    if settings.model is not None:
        by_name = isinstance(settings.model, str)
        model_attributes.compare(observations, model, by_name=by_name)
    if any(one.runs_model() for one in bound):
        expect_code(model)
    if settings.climatology is not None:
        model = with_climatology(model, settings.climatology)
    observed, statistics = prepared(
        observations,
        settings.variable,
        model,
        operator,
        settings.grid_step,
        settings.good_flags,
    )
    observed = optional_outputs.without_dimensions(observed, options.window_outputs())
    attributes.check(observed)
    windows.check_state_size(observed, model.state_size, model.name)
    step = netcdf.model_time_step(observed, settings.time_step, model)
    for one in bound:
        one.check_time_step(step)
    lazy = settings.block is not None or observed[names.OBSERVATION].chunks is not None
    scales = estimated_scales(method_options)
    estimates = settings.robust or settings.correct_bias or kind is not None or scales
    if estimates or any(one.pattern() is not None for one in bound):
        observed = chunking.kept(observed)
    in_windows, is_series = _in_windows(observed, settings, lazy or options.couples_windows())
    _check_operators(in_windows, method.name, bound)
    if settings.spread:
        expect_posterior(model, in_windows)
    if settings.robust and names.CHANNEL_OBSERVATION in in_windows:
        raise InputError(
            "robust rejects observations of components or linear ones, but these are a function of "
            "the state; leave out robust (--robust)"
        )
    expect_effects(
        method.name, options, model, warm=warm is not None,
        channels=names.CHANNEL_OBSERVATION in in_windows,
    )  # fmt: skip
    count = in_windows.sizes[names.WINDOW]
    in_windows = in_windows.assign_coords({POSITION: (names.WINDOW, np.arange(count))})
    variance = windows.reference_variance(in_windows, statistics)
    known = variance or netcdf.stated_variance(observed)
    options = options.for_problem(count, model.state_size).for_variance(known)
    running = engine_for(model, settings.engine)
    choice = Choice.here(model, settings.engine)
    cost = CostSettings(step, settings.lambda1, settings.lambda2)
    own: Backgrounds | None = cycling.backgrounds(options, observed, count, model, cost, running)
    if own is None and settings.cycle is not None:
        own = cycling.given(options, model, running)
    mean = options.expected_state(model, running) if own is None else None
    if isinstance(operator, FunctionOperator):
        states = options.likely_states(model, running) if own is None else _three_means(own)
        operator.check(model.state_size, in_windows.sizes[names.CHANNEL], states)
    unlike = _unlike_trained(bound, in_windows, known, model)

    divided = in_windows[names.OBSERVATION].chunks is not None
    divided = divided and settings.cycle is None
    task = BlockTask(
        method.name, options, choice, cost, mean, variance, known, operator, warm,
        settings.state if settings.cycle is None else None, count,
        robust=settings.robust, spread=settings.spread, history=not lazy,
        report=OfBlocks(report, count) if divided and report is not silent else report,
    )  # fmt: skip
    task, in_windows, said = _with_estimates(task, in_windows, own, settings, kind, scales)
    options = task.options
    if kind is not None or settings.correct_bias:
        method_options = {**method_options, **estimated_variance.of_options(options)}
    if settings.cycle is not None:
        analysis = cycled(task, observed, settings.cycle, own, settings.state)
        lazy = is_series = False
    elif divided:
        like = template(
            in_windows, options, model, stdev=settings.spread or options.has_stdev(),
            history=not lazy,
        )  # fmt: skip
        analysis = lazily(task, in_windows, like, own)
    else:
        analysis = task(in_windows, own)
    history = {name: analysis.variables[name] for name in [HISTORY] if name in analysis.variables}
    analysis = analysis.drop_vars(list(history))
    of_run = {} if warm is None else {"pyvda_warm_start": warm.checkpoint, **warm.provenance()}
    if unlike:
        of_run["pyvda_pattern_difference"] = unlike
    if is_series:
        analysis = _merged(analysis, observed, in_windows)
    if settings.cycle is None:
        analysis = cycling.counted(analysis, own)
    analysis = analysis.assign_attrs(of_run | said)
    held = settings.cycle is None or not waits_in_folder(observed, settings.state)
    analysis.encoding = {"unlimited_dims": observed.encoding.get("unlimited_dims", ())}
    analysis = layout.restored(analysis)
    if lazy:
        analysis = with_lazy_report(analysis)
    else:
        units = in_windows[names.OBSERVATION].attrs.get("units")
        analysis = _completed(analysis.assign(history), units, held=held)
    run = record(observations, settings, method_options, running.info, _block_of(in_windows, lazy))
    analysis = with_provenance(analysis, model, method.name, options, cost, running, run)
    return with_engines(analysis, choice) if lazy else analysis


def _with_estimates(
    task: BlockTask,
    ds: xr.Dataset,
    own: Backgrounds | None,
    settings: Settings,
    kind: str | None,
    scales: tuple[str, ...],
) -> tuple[BlockTask, xr.Dataset, dict[str, str]]:
    """Return task and windows with what is estimated from them first, and what says so."""
    said: dict[str, str] = {}
    if kind is not None or settings.correct_bias:
        bias = settings.correct_bias
        task, ds, errors = estimated_variance.with_estimate(task, ds, own, kind=kind, bias=bias)
        said = errors.attributes(kind, bias=bias)
    if settings.robust and own is None and settings.cycle is None:
        task, of_errors = task.with_gross_errors_of(ds)
        said |= of_errors
    if scales:
        task, of_scales = with_scales(task, ds, own, scales)
        said |= of_scales
    return task, ds, said


def _merged(analysis: xr.Dataset, observed: xr.Dataset, in_windows: xr.Dataset) -> xr.Dataset:
    """Return the analysis of a series from those of its windows."""
    number = windows.window_numbers(
        in_windows[names.WINDOW_START].values,
        in_windows.sizes[names.TIME],
        observed.sizes[names.TIME],
    )
    return windows.merge(analysis, observed).assign_coords({names.WINDOW_NUMBER: number})


def _completed(analysis: xr.Dataset, units: str | None, *, held: bool) -> xr.Dataset:
    """Return an analysis with its history and the report on it, and its values if `held`."""
    if held:
        analysis = blockwise.loaded(analysis)
    if HISTORY in analysis.variables:
        analysis = with_history(analysis, units)
    return with_report(analysis)


def _block_of(ds: xr.Dataset, lazy: bool) -> int | None:
    """Return the windows of a block where the user chose them, by chunks or by `block`."""
    return int(ds[names.OBSERVATION].chunksizes[names.WINDOW][0]) if lazy else None


def named_model(settings: Settings, options: list[Options]) -> Model | None:
    """Return the model that was named or that learned models are bound to; None: neither."""
    given = settings.model
    model = None if given is None else resolve(given)
    for bound in (one.model() for one in options):
        if model is None or bound is None:
            model = model or bound
        else:
            expect_trained(model, bound)
    return model


def _warm_start(settings: Settings, method: Method, options: Options) -> LearnedOptions | None:
    """Return the learned model to start from."""
    if settings.warm_start is None:
        return None
    if not options.starts_from_first_guess:
        able = ", ".join(n for n, m in METHODS.items() if m.options.starts_from_first_guess)
        raise InputError(
            f"{method.name} does not start from a state; for a warm start choose {able}"
        )
    return LearnedOptions(checkpoint=str(settings.warm_start))


def _in_windows(ds: xr.Dataset, settings: Settings, given: bool) -> tuple[xr.Dataset, bool]:
    """Return windows, in dask chunks where they are several blocks, and whether it was a series.

    Unless the blocks are `given`, observations in memory are divided by their size.
    """
    block = settings.block
    if not given:
        block = chunking.block_of(ds, settings.window, settings.overlap)
        if block is not None:
            ds = chunking.chunked(ds, {names.TIME: -1})
    ds, is_series = windows.in_windows(ds, settings.window, settings.overlap, block)
    chunks = block or ds[names.OBSERVATION].chunksizes.get(names.WINDOW)
    if chunks is not None:
        # Variables in memory, such as a truth, must have the same chunks.
        ds = chunking.chunked(ds, {names.WINDOW: chunks, names.TIME: -1, names.STATE: -1})
    lazy = {name: c for name, c in ds.coords.items() if c.chunks is not None}
    for name, coordinate in lazy.items():  # such as bounds, cut as the user's chunks were
        if chunks is not None and names.WINDOW in coordinate.dims:
            own = {dim: chunks if dim == names.WINDOW else -1 for dim in coordinate.dims}
            ds = ds.assign_coords({name: coordinate.chunk(own)})
        else:
            ds = ds.assign_coords({name: coordinate.compute()})
    return ds, is_series


def _three_means(own: Backgrounds) -> np.ndarray:
    return np.repeat(cycling.means(own[:1]), 3, axis=0)


def _check_operators(ds: xr.Dataset, method: str, options: list[Options]) -> None:
    if names.CHANNEL_OBSERVATION in ds and not all(one.takes_channels for one in options):
        able = ", ".join(name for name, m in METHODS.items() if m.options.takes_channels)
        raise InputError(
            f"{method} takes only linear observation operators, but this one is a function; "
            f"choose {able or 'a linear one'} without a warm start"
        )
    if names.POINT_OBSERVATION in ds and not all(one.takes_points for one in options):
        able = ", ".join(name for name, m in METHODS.items() if m.options.takes_points)
        raise InputError(
            f"{method} takes observations of single components at the analysis times only, but "
            f"there are others ({names.POINT_OBSERVATION}); choose {able} without a warm start"
        )


def _unlike_trained(
    options: list[Options], ds: xr.Dataset, variance: float | None, model: Model
) -> str:
    """Warn of observations or a model unlike those of the training; say how, of observations."""
    trained = [pattern for one in options if (pattern := one.pattern()) is not None]
    if not trained:
        return ""
    first = ds[names.OBSERVATION].isel(window=slice(0, _SAMPLE_WINDOWS))
    observed = first.transpose(*names.DIMENSIONS).notnull().compute()
    found = [patterns.differences(observed.values, variance, pattern) for pattern in trained]
    for pattern in trained:
        patterns.warn_of_source(model, pattern)
    unlike = dict.fromkeys(text for texts in found for text in texts)
    return patterns.warn(list(unlike))


_SAMPLE_WINDOWS = 256  # enough to know the pattern of a large file
