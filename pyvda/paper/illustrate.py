"""Run the solvers that the figures show, on the first test windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.learned import shipped
from pyvda.learned.description import read_description
from pyvda.paper import error_maps, figure_data, figure_numbers, figures
from pyvda.paper.figures import Drawn, Pathway, Reconstruction
from pyvda.paper.held_out import HELD_OUT
from pyvda.paper.rows import TABLES, Row, checkpoint_name
from pyvda.paper.scoring import assimilated, scored
from pyvda.plotting import analysis as plots
from pyvda.progress import ProgressReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DASHED, _DOTTED, _MIXED = (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2))
_LONG, _TWO_DOTS = (0, (8, 1.5)), (0, (4, 1.2, 1, 1.2, 1, 1.2))
LOOKS = {  # by row of a table
    "fsgd": Drawn("FSGD", "#CC79A7", _DASHED),
    "rk4-conv-unsupervised": Drawn("RK4 + Conv, unsupervised", "#E69F00", _TWO_DOTS),
    "rk4-conv": Drawn("RK4 + Conv", "#D55E00", _MIXED),
    "genn-conv": Drawn("GENN + Conv", "#56B4E9", width=1.6),
    "direct": Drawn("direct regression", "#999999", width=2.6),
    "shooting": Drawn("regression, then shooting", "#009E73", _LONG),
    "annealed": Drawn("annealed 4D-Var", "#882255", _DASHED),
    "posterior-mean": Drawn("posterior mean", "#332288", _DOTTED),
}
BY_LABEL = {look.label: look for look in LOOKS.values()}


class Source(NamedTuple):
    """Rows of a table, by their keys, on the first test windows of a setting."""

    table: str
    setting: str
    title: str
    keys: tuple[str, ...]
    windows: int


_LEARNED = ("rk4-conv-unsupervised", "rk4-conv", "genn-conv", "direct", "shooting")
_BLANKED = "Lorenz-63, blanked windows"
FIGURES = {
    "figure2": (
        Source("table1", "lorenz63-blanked", _BLANKED, ("fsgd", *_LEARNED), 256),
        Source("table2", "lorenz96", "Lorenz-96", ("fsgd", *_LEARNED), 32),
    ),
    "figure3": (
        Source(
            "table1", "lorenz63-blanked", _BLANKED,
            ("fsgd", "rk4-conv", "genn-conv", "direct", "shooting", "posterior-mean"), 512,
        ),
    ),
    "figure4": (
        Source("table2", "lorenz96", "Lorenz-96", ("fsgd", *_LEARNED, "annealed"), 16),
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
    """Draw a figure in the folder `out`, and return the files.

    They are PNG, SVG, a JSON of numbers and, of figures 3 and 4, a netCDF file of what is drawn.

    Parameters
    ----------
    what : str
        A key of `FIGURES`.
    out : path
        Created if necessary.
    progress, say
        See `pyvda.paper.reproduce`.
    quick : bool
        Shorten long descents and omit slow methods.
    windows : int, optional
        Number of test windows, the first ones.
    engine : str, optional
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out} ({error.strerror})") from error
    pathways: dict[str, list[Pathway]] = {}
    weights: dict[str, str] = {}
    for source in FIGURES[what]:
        count = windows or source.windows
        truth, observed = HELD_OUT[source.setting].make(count, engine)
        found: list[Reconstruction] = []
        for row, checkpoint in _solvers(source.table, source.setting, source.keys, quick, say):
            if checkpoint is not None:
                weights[checkpoint.name] = read_description(checkpoint).digest()
            settings = _settings(row, checkpoint, truth, quick) | {"engine": engine}
            with progress(f"{row.key}, {source.setting}") as report:
                if what == "figure2":
                    line = _pathway(row, checkpoint, truth, observed, settings, report)
                    pathways.setdefault(source.title, []).append(line)
                else:
                    analysis, _ = assimilated(observed, report=report, **settings)
                    found.append(Reconstruction(LOOKS[row.key], analysis[names.ANALYSIS].values))
    if what == "figure2":
        figure, numbers = figures.energy_pathways(pathways), figure_numbers.of_pathways(pathways)
    else:
        of_figure = _errors_and_examples if what == "figure3" else _maps
        data, numbers = of_figure(found, truth, observed)
        figure = drawn(what, data)
    written = [out / f"{what}.{ending}" for ending in ("png", "svg", "json")]
    for path in written[:2]:
        plots.save_figure(figure, path)
    if what != "figure2":
        figure_data.write(data, out / f"{what}.nc")
        written.append(out / f"{what}.nc")
    sets = {source.setting: windows or source.windows for source in FIGURES[what]}
    figure_numbers.write(written[2], sets=sets, quick=quick, weights=weights, numbers=numbers)
    return written


def drawn(what: str, data: xr.Dataset) -> Figure:
    """Draw figure 3 or 4 from what was stored of it."""
    if what == "figure3":
        return figures.errors_and_examples(data, BY_LABEL)
    return error_maps.state_and_error_maps(data)


def _errors_and_examples(
    found: list[Reconstruction], truth: xr.Dataset, observed: xr.Dataset
) -> tuple[xr.Dataset, dict[str, Any]]:
    true, seen = truth[names.TRUTH].values, observed[names.OBSERVATION].values
    data = figure_data.of_errors_and_examples(
        found, true, seen, time_step=_time_step(truth), windows=range(min(4, len(true))),
        examples=EXAMPLES,
    )  # fmt: skip
    return data, figure_numbers.of_errors(found, true)


def _maps(
    found: list[Reconstruction], truth: xr.Dataset, observed: xr.Dataset
) -> tuple[xr.Dataset, dict[str, Any]]:
    true, seen = truth[names.TRUTH].values, observed[names.OBSERVATION].values
    window = error_maps.typical_window(found, true)
    data = figure_data.of_maps(found, true, seen, time_step=_time_step(truth), window=window)
    return data, figure_numbers.of_maps(found, true, window)


def _time_step(truth: xr.Dataset) -> float:
    return float(np.diff(truth[names.TIME].values[:2])[0])


def _solvers(
    table: str, setting: str, keys: tuple[str, ...], quick: bool, say: Callable[[str], None]
) -> list[tuple[Row, Path | None]]:
    """Return the rows that can be run, with the weights of the learned ones; report the others."""
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
    """Return the keywords of `pyvda.assimilate` for a row."""
    if checkpoint is not None:
        return {"checkpoint": checkpoint}
    return {"method": row.method, "model": truth.attrs["model"], **row.settings_of(quick)}


def _pathway(
    row: Row,
    checkpoint: Path | None,
    truth: xr.Dataset,
    observed: xr.Dataset,
    settings: dict[str, Any],
    report: ProgressReport,
) -> Pathway:
    """Return error and cost of a solver along its iterations.

    The cost is that under the solver's own Φ: the model's RK4 except for learned priors. A
    regression has no Φ, and RK4 is used.
    """
    look = LOOKS[row.key]
    if checkpoint is None:
        known = observed.assign(truth=truth[names.TRUTH])
        analysis, _ = assimilated(known, report=report, **settings)
        history = (names.ITERATION, names.HISTORY_R_SCORE, names.HISTORY_COST)
        return Pathway(look, *(np.asarray(analysis[name].values, float) for name in history))
    description = read_description(checkpoint)
    kind, last = description.architecture.solver.kind, description.iterations
    # A regression does not start from the interpolated observations as the others do: it counts as
    # the first iteration, and its refinement continues from there.
    first = 1 if kind == "regression" else 0
    before = 1 if kind == "shooting" else 0
    # The first k iterations do not depend on how many follow.
    counts = np.arange(first, last + 1)
    rows: list[tuple[float, float]] = []
    for k in counts:
        analysis, _ = assimilated(observed, iterations=int(k), **settings)
        found = scored(analysis, truth, checkpoint, settings.get("engine"))
        cost = found.get("four_dvar_score", found["four_dvar_score_rk4"])
        rows.append((_mean(found["r_score"]), _mean(cost)))
        report(len(rows), len(counts))
    errors, costs = np.array(rows).T
    return Pathway(look, counts + float(before), errors, costs)


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else np.nan
