"""Cross-validation of methods for fields, on values under the clouds of other times.

A draw hides what the gaps of other times would hide; the method estimates it from the rest, with
constants fitted to the rest. Of data at points it hides whole passes, moorings or floats. Scores
are those of the hidden values, and methods are compared by a bootstrap over times, or passes, whose
values are not independent within one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from pyvda.engine import Engine, get_engine
from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields import target
from pyvda.fields.assimilate import estimated
from pyvda.fields.clouds import under_other_clouds
from pyvda.fields.field import Field, Values, opened
from pyvda.fields.learned.description import FieldDescription
from pyvda.fields.learned.method import LearnedFieldOptions
from pyvda.fields.learned_points.method import LearnedPointOptions
from pyvda.fields.methods import FIELD_METHODS, FieldMethod, method_named
from pyvda.fields.points import DataAtPoints, are_points
from pyvda.fields.points import read as read_points
from pyvda.fields.predictions import Predictions
from pyvda.fields.score_table import table
from pyvda.fields.withheld import hidden_points, withheld_of
from pyvda.io.quality.quality_flags import GoodFlags
from pyvda.io.sources import sources
from pyvda.notices import notice
from pyvda.progress import ProgressReport, silent
from pyvda.validation_errors import validated

_DRAWS, _TIMES = 3, 30
_PARTS = 5  # of the passes, of which a draw hides one
_LEAST_OF_PASS = 5  # data: a shorter pass is not hidden


def crossvalidate(
    observations: Any,
    methods: Sequence[str] | None = None,
    *,
    variable: str | Sequence[str] | None = None,
    draws: int | None = None,
    times: int | None = None,
    seed: int = 0,
    withhold: Any = None,
    mask: str | None = None,
    transform: str | None = None,
    good_flags: GoodFlags | None = None,
    group: str | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    engine: str | None = None,
    report: ProgressReport = silent,
) -> dict[str, Any]:
    """Score methods for fields without a model on values under the clouds of other times.

    Parameters
    ----------
    observations : Dataset, path, ...
        As in `pyvda.assimilate`.
    methods : sequence of str, optional
        Names, or folders of trained networks, joined by + where estimates are to be averaged. The
        first is what the others are compared with. Default: oi and eof; of data at points oi.
    variable : str or sequence of str, optional
    draws : int, optional
        How often values are hidden, at different times where there are enough. Default: 3.
    times : int, optional
        Times of which a draw hides a part, at most. Default: 30. Of data at points a draw hides a
        fifth of the passes, moorings or floats.
    seed : int
        Seed of the draws, and of the bootstrap of the intervals.
    withhold : Any, optional
        Values that are hidden instead, as the option of `pyvda.assimilate`: one draw, such as that
        which was withheld from the training of a network.
    mask, transform, good_flags, group
        As in `pyvda.assimilate`.
    options : dict of dict, optional
        Options of each method.
    engine : str, optional
    report : ProgressReport

    Returns
    -------
    dict
        `variables`: for each variable and method `rmse`, `bias`, `calibration` (mean squared error
        over variance), `nll`, `count`, `by_distance`, `by_draw`, and of all but the first method
        `ratio` of its RMSE to that of the first with an interval; plain data. `seen`: the networks
        that were trained on the hidden values, so that their scores are too good.

    Raises
    ------
    InputError
        A method is unknown, or no values can be hidden.

    Warns
    -----
    Notice
        A network was trained on this file, and not without the values that are hidden here.

    Examples
    --------
    >>> pyvda.crossvalidate("chl.nc", ["oi", "eof"], variable="chl")  # doctest: +SKIP
    """
    several = observations if isinstance(observations, list | tuple) else [observations]
    first = sources.as_dataset(several[0], "the argument observations", group=group)
    at_points = are_points(first, variable)
    methods = methods or (["oi"] if at_points else ["oi", "eof"])
    chosen = _methods(methods, options or {}, mask, transform)
    if withhold is not None and (draws, times) != (None, None):
        raise InputError(
            "draws and times would have no effect: the values that withhold names are hidden; "
            "leave them out, or leave out withhold"
        )
    draws = _DRAWS if draws is None else draws
    if at_points:
        points = read_points(
            list(several), variable, transform=transform, good_flags=good_flags, group=group
        )
        given = hidden_points(points, first, withhold)
        return _of_points(points, chosen, draws, seed, given, transform, get_engine(engine), report)
    ds = sources.as_dataset(observations, "the argument observations", group=group)
    field = opened(ds, variable, mask=mask, transform=transform, good_flags=good_flags)
    read = {name: field.read(name) for name in field.variables}
    running = get_engine(engine)
    there = np.any([np.isfinite(v.values) for v in read.values()], axis=0)
    found: dict[str, dict[str, list[Predictions]]] = {
        name: {method: [] for method in chosen} for name in read
    }
    withheld = withheld_of(field, withhold)
    seen = _seen(field, read, chosen, withheld)
    for draw, hidden in enumerate(_hidden(there, draws, seed, times or _TIMES, withheld)):
        for step, (method, (solver, its_options)) in enumerate(chosen.items()):
            report(draw * len(chosen) + step, draws * len(chosen), f"draw {draw}, {method}")
            estimates = estimated(
                field, read, hidden, solver, its_options, running, silent,
                where=hidden,
            )  # fmt: skip
            for name, estimate in estimates.items():
                found[name][method].append(
                    Predictions.of_field(field, read[name].values, estimate, hidden, draw)
                )
    report(1, 1, "done")
    said = "under clouds of other times" if withheld is None else "that were withheld"
    return _result(found, draws, seed, transform, said) | {"seen": seen}


def _seen(
    field: Field,
    read: Mapping[str, Values],
    chosen: Mapping[str, tuple[FieldMethod, Any]],
    withheld: Array | None,
) -> list[str]:
    """Return the methods with a network that was trained on this file and on what is hidden."""
    networks: dict[str, list[FieldDescription]] = {
        name: options.described()
        for name, (_, options) in chosen.items()
        if isinstance(options, LearnedFieldOptions)
    }
    values = {name: one.values for name, one in read.items()}
    found = []
    for name, described in networks.items():
        if any(one.has_seen(field, values, withheld) for one in described):
            found.append(name)
            _say_seen(name, "field")
    return found


def _seen_at_points(
    points: DataAtPoints, chosen: Mapping[str, tuple[FieldMethod, Any]], hidden: Array | None
) -> list[str]:
    """Return the networks that were trained on these data at points and on what is hidden."""
    found = []
    for name, (_, options) in chosen.items():
        if not isinstance(options, LearnedPointOptions):
            continue
        described = options.described()
        if described.variable in points.values and described.has_seen(points, hidden):
            found.append(name)
            _say_seen(name, "points")
    return found


def _say_seen(name: str, section: str) -> None:
    notice(
        f"{name} was trained on this file with values that are hidden here, so that its score is "
        f"too good; withhold values from its training ({section}.withhold) and give the same ones "
        "here (withhold), or use another file"
    )


def _result(
    found: Mapping[str, Mapping[str, Sequence[Predictions]]],
    draws: int,
    seed: int,
    transform: str | None,
    withheld: str,
) -> dict[str, Any]:
    return {
        "draws": draws, "seed": seed, "transform": transform, "withheld": withheld,
        "variables": {
            name: table({one: Predictions.joined(parts) for one, parts in methods.items()}, seed)
            for name, methods in found.items()
        },
    }  # fmt: skip


def _of_points(
    points: DataAtPoints,
    chosen: Mapping[str, tuple[FieldMethod, Any]],
    draws: int,
    seed: int,
    given: Array | None,
    transform: str | None,
    engine: Engine,
    report: ProgressReport,
) -> dict[str, Any]:
    """Score methods on whole passes, moorings or floats."""
    unable = [name for name, (method, _) in chosen.items() if not method.at_points]
    if unable:
        raise InputError(
            f"the observations lie at points, but {', '.join(unable)} takes fields on a grid; "
            "choose oi, or a network that was trained on data at points"
        )
    seen = _seen_at_points(points, chosen, given)
    field = target.around(points, transform)
    read = {name: field.read(name) for name in field.variables}
    nothing = np.zeros((len(field.days), len(field.places)), bool)
    found: dict[str, dict[str, list[Predictions]]] = {
        name: {method: [] for method in chosen} for name in points.variables
    }
    there = np.any([np.isfinite(v.values) for v in points.values.values()], axis=0)
    hides = hidden_passes(points.track, there, draws, seed) if given is None else [given & there]
    for draw, hidden in enumerate(hides):
        for step, (method, (solver, its_options)) in enumerate(chosen.items()):
            report(draw * len(chosen) + step, draws * len(chosen), f"draw {draw}, {method}")
            estimates = solver.solve(
                field, read, its_options, engine, silent, where=nothing,
                points=points.without(hidden), at_points=hidden,
            )  # fmt: skip
            for name, estimate in estimates.items():
                if estimate.at_points is None:
                    raise TypeError(f"{method} does not estimate data at points")
                values = points.values[name].values
                found[name][method].append(
                    Predictions.of_points(points, values, estimate.at_points, hidden, draw)
                )
    report(1, 1, "done")
    said = "of whole passes, moorings or floats" if given is None else "that were withheld"
    return _result(found, draws, seed, transform, said) | {"seen": seen}


def hidden_passes(track: Array, there: Array, draws: int, seed: int) -> list[Array]:
    """Return the point data that each draw withholds, (N,) of bool: a fifth of the passes.

    Up to five draws hide different passes.

    Raises
    ------
    InputError
        There are fewer than two passes.
    """
    known, counts = np.unique(track[there], return_counts=True)
    if len(known) < 2:
        raise InputError(
            f"all {int(there.sum())} data belong to one pass, mooring or float, so that none can "
            "be hidden whole; give a number of the pass (a variable such as track), or more data"
        )
    long = known[counts >= min(_LEAST_OF_PASS, counts.max())]
    parts = min(_PARTS, len(long))
    found = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw // parts])
        dealt = rng.permutation(long)[draw % parts :: parts]
        found.append(np.isin(track, dealt) & there)
    return found


def _methods(
    names: Sequence[str], options: Mapping[str, Any], mask: str | None, transform: str | None
) -> dict[str, tuple[FieldMethod, Any]]:
    if not names:
        raise InputError(
            f"there is no method to cross-validate; choose among {', '.join(FIELD_METHODS)}"
        )
    stray = [name for name in options if name not in names]
    if stray:
        raise InputError(
            f"options of {', '.join(stray)} would have no effect, since the methods are "
            f"{', '.join(names)}; leave them out"
        )
    found = {}
    for name in dict.fromkeys(names):
        method, first = method_named(name)
        given = {**first, **options.get(name, {}), "mask": mask, "transform": transform}
        found[name] = method, validated(method.options, given, f"options of {name}")
    return found


def _hidden(
    there: Array, draws: int, seed: int, times: int, withheld: Array | None
) -> Iterator[Array]:
    """Yield the withheld points of each draw, at times that no other draw used if there are any."""
    if withheld is not None:
        if not (withheld & there).any():
            raise InputError(
                "withhold names no observed value, so that there is nothing to score; name others"
            )
        yield withheld & there
        return
    used = np.zeros(len(there), bool)
    for draw in range(draws):
        drawn = partial(
            under_other_clouds, there, seed + draw, times, remedy="name values to hide (withhold)"
        )
        try:
            hidden = drawn(avoid=used)
        except InputError:
            if not used.any():
                raise
            hidden = drawn()
        used |= hidden.any(1)
        yield hidden
