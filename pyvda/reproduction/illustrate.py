"""Run what the figures draw: the solvers of the tables on the first test windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pyvda import figures, names, plots, shipped
from pyvda.description import read_description
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.figures import Drawn, Pathway, Reconstruction
from pyvda.progress import Report
from pyvda.reproduction.held_out import HELD_OUT
from pyvda.reproduction.rows import TABLES, Row, checkpoint_name
from pyvda.reproduction.scoring import assimilated, scored

_DASHED, _DOTTED, _MIXED = (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2))
LOOKS = {
    "fsgd": Drawn("FSGD", "#CC79A7", _DASHED),
    "rk4-conv-unsupervised": Drawn("RK4 + Conv, unsupervised", "#E69F00", _DOTTED),
    "rk4-conv": Drawn("RK4 + Conv", "#D55E00", _MIXED),
    "rk4-lstm": Drawn("RK4 + LSTM", "#D55E00", _MIXED),
    "genn-conv": Drawn("GENN + Conv", "#56B4E9"),
    "genn-lstm": Drawn("GENN + LSTM", "#56B4E9"),
    "direct": Drawn("direct regression", "#7F7F7F", _DOTTED),
    "shooting": Drawn("regression, then shooting", "#009E73"),
    "annealed": Drawn("annealed 4D-Var", "#882255", _DASHED),
    "posterior-mean": Drawn("posterior mean", "#332288", _DASHED),
}
# table, setting, rows, windows
FIGURES = {
    "figure2": (
        "table1", "lorenz63-blanked",
        ("fsgd", "rk4-conv-unsupervised", "rk4-conv", "genn-conv", "direct", "shooting"), 256,
    ),
    "figure3": (
        "table1", "lorenz63-blanked",
        ("fsgd", "rk4-conv", "genn-conv", "direct", "shooting", "posterior-mean"), 256,
    ),
    "figure4": (
        "table2", "lorenz96",
        ("fsgd", "rk4-conv", "genn-lstm", "direct", "shooting", "annealed"), 16,
    ),
}  # fmt: skip
EXAMPLES = ("FSGD", "GENN + Conv", "regression, then shooting")


def reproduce_figure(
    what: str,
    out: Path,
    *,
    progress: Callable[[str], Any],
    say: Callable[[str], None],
    quick: bool = False,
    windows: int | None = None,
    engine: str | None = None,
) -> list[Path]:
    """Draw a figure as PNG and SVG in the folder `out`, and return the files.

    Parameters
    ----------
    what : str
        Of `FIGURES`.
    out : path
        Made if need be.
    progress, say
        See `pyvda.reproduction.reproduce`.
    quick : bool
        Cut long descents short, and leave out methods that take long.
    windows : int, optional
        Of the test set, the first so many.
    engine : str, optional
    """
    table, setting, keys, count = FIGURES[what]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out} ({error.strerror})") from error
    truth, observed = HELD_OUT[setting].make(windows or count, engine)
    solvers = _solvers(table, setting, keys, quick, say)
    if what == "figure2":
        pathways = []
        for row, checkpoint in solvers:
            with progress(row.key) as report:
                settings = _settings(row, checkpoint, truth, quick) | {"engine": engine}
                pathways.append(_pathway(row, checkpoint, truth, observed, settings, report))
        figure = figures.energy_pathways(pathways)
    else:
        found = []
        for row, checkpoint in solvers:
            with progress(row.key) as report:
                settings = _settings(row, checkpoint, truth, quick) | {"engine": engine}
                analysis, _ = assimilated(observed, report=report, **settings)
            found.append(Reconstruction(LOOKS[row.key], analysis[names.ANALYSIS].values))
        data = (truth[names.TRUTH].values, observed[names.OBSERVATION].values)
        step = float(np.diff(truth[names.TIME].values[:2])[0])
        if what == "figure3":
            shown = range(min(4, len(data[0])))
            figure = figures.errors_and_examples(
                found, *data, time_step=step, windows=shown, examples=EXAMPLES
            )
        else:
            figure = figures.state_and_error_maps(found, *data, time_step=step)
    written = [out / f"{what}.png", out / f"{what}.svg"]
    for path in written:
        plots.save_figure(figure, path)
    return written


def _solvers(
    table: str, setting: str, keys: tuple[str, ...], quick: bool, say: Callable[[str], None]
) -> list[tuple[Row, Path | None]]:
    """Return the rows that can be run, with the weights of the learned ones; name the others."""
    by_key = {row.key: row for row in TABLES[table].all_rows()}
    found: list[tuple[Row, Path | None]] = []
    for key in keys:
        row = by_key.get(key)
        if row is None or (quick and row.quick is None):
            continue
        if row.method != "learned":
            found.append((row, None))
        elif (name := checkpoint_name(setting, row)) is not None:
            found.append((row, shipped.FOLDER / name))
        else:
            say(f"{LOOKS[key].label} is left out: not trained")
    return found


def _settings(row: Row, checkpoint: Path | None, truth: xr.Dataset, quick: bool) -> dict[str, Any]:
    """Return what `pyvda.assimilate` is to do."""
    if checkpoint is not None:
        return {"checkpoint": checkpoint}
    return {"method": row.method, "model": truth.attrs["model"], **row.settings_of(quick)}


def _pathway(
    row: Row,
    checkpoint: Path | None,
    truth: xr.Dataset,
    observed: xr.Dataset,
    settings: dict[str, Any],
    report: Report,
) -> Pathway:
    """Return error and cost of a solver along its iterations, under its own Φ if it has one."""
    look = LOOKS[row.key]
    if checkpoint is None:
        known = observed.assign(truth=truth[names.TRUTH])
        analysis, _ = assimilated(known, report=report, **settings)
        history = (names.ITERATION, names.HISTORY_R_SCORE, names.HISTORY_COST)
        return Pathway(look, *(np.asarray(analysis[name].values, float) for name in history))
    # A solver of k iterations is the beginning of one of more.
    last = read_description(checkpoint).iterations
    rows: list[tuple[float, float]] = []
    for k in range(last + 1):
        analysis, _ = assimilated(observed, iterations=k, **settings)
        found = scored(analysis, truth, checkpoint, settings.get("engine"))
        cost = found.get("four_dvar_score", found["four_dvar_score_rk4"])
        rows.append((_mean(found["r_score"]), _mean(cost)))
        report(k + 1, last + 1)
    errors, costs = np.array(rows).T
    return Pathway(look, np.arange(last + 1.0), errors, costs)


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else np.nan
