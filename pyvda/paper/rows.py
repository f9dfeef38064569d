"""The rows of the tables as data: the paper's rows with its numbers, and our additions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pyvda.learned import shipped
from pyvda.learned.architecture import Architecture
from pyvda.learned.description import read_description
from pyvda.methods import METHODS


@dataclass(frozen=True)
class Paper:
    """The paper's numbers of a row, as printed; empty if it has none."""

    r_score: str = ""
    four_dvar: str = ""
    ode: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes
    ----------
    key : str
        Name of the row in the JSON and on the command line.
    scheme, prior, solver : str
        The paper's first three columns.
    method : str
        A key of `pyvda.methods.METHODS`.
    options : mapping
        Options of the method; a `warm_start` is prefixed with the name of the setting.
    quick : mapping, optional
        Options that differ in a quick run; None if a quick run omits the row.
    weights : str
        For the method "learned": the shipped model is called `<setting>-<weights>`.
    paper : Paper
    """

    key: str
    scheme: str
    prior: str
    solver: str
    method: str = "learned"
    options: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] | None = field(default_factory=dict)
    weights: str = ""
    paper: Paper = Paper()

    def settings_of(self, quick: bool) -> dict[str, Any]:
        """Return the options of a quick or of a full run."""
        return dict(self.options) | (dict(self.quick or {}) if quick else {})


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes
    ----------
    name, title : str
    settings : tuple of str
        Presets shown side by side; the paper's numbers belong to the first.
    rows : tuple of Row
    """

    name: str
    title: str
    settings: tuple[str, ...]
    rows: tuple[Row, ...]

    def all_rows(self) -> tuple[Row, ...]:
        """Return the rows, including those of shipped models that the table does not name.

        Rows of methods that this version of pyvda lacks are omitted.
        """
        rows = tuple(row for row in self.rows if row.method in METHODS)
        named = {f"{setting}-{row.weights}" for row in rows for setting in self.settings}
        additional: dict[str, Row] = {}
        for name in shipped.names():
            setting = _setting_of(name)
            if name in named or setting not in self.settings:
                continue
            rest = name.removeprefix(f"{setting}-")
            prior, solver = _columns(read_description(shipped.FOLDER / name).architecture)
            additional[rest] = Row(
                rest, "learned, further", prior, f"{solver} (`{rest}`)", weights=rest
            )
        first_classical = next((i for i, r in enumerate(rows) if r.scheme == _CLASSICAL), len(rows))
        return (*rows[:first_classical], *additional.values(), *rows[first_classical:])


def checkpoint_name(setting: str, row: Row) -> str | None:
    """Return the name of the shipped model of a row in a setting, None if there is none.

    For `lorenz63`, that of `lorenz63-blanked` is used if it has none of its own.
    """
    known = shipped.names()
    wanted = [f"{setting}-{row.weights}"]
    if setting == "lorenz63":
        wanted.append(f"lorenz63-blanked-{row.weights}")
    return next((name for name in wanted if name in known), None)


def _setting_of(name: str) -> str:
    """Return the preset that the name of a shipped model starts with, the longest match."""
    presets = ("lorenz63-blanked", "lorenz63", "lorenz96")
    return next((p for p in presets if name.startswith(f"{p}-")), "")


def _columns(architecture: Architecture) -> tuple[str, str]:
    """Return the labels of prior and solver of a shipped model."""
    prior = {"genn": "GENN", "two-scale-genn": "GENN"}.get(
        architecture.prior.kind, architecture.prior.kind.upper()
    )
    kind = architecture.solver.kind
    return ("none" if kind == "regression" else prior), _SOLVERS.get(kind, kind)


_SOLVERS = {
    "conv": "aG-Conv",
    "lstm": "aG-LSTM",
    "regression": "direct regression",
    "shooting": "regression, then shooting",
}
_CLASSICAL = "model known"

_FSGD = Row(
    "fsgd",
    "no learning",
    "RK4",
    "FSGD",
    "fsgd",
    {"iterations": 150_000},
    {"iterations": 20_000},
)


def _learned(scheme: str, prior: str, solver: str, *paper: str) -> Row:
    """Return one of the paper's eight learned rows."""
    weights = f"{prior.lower()}-{solver.removeprefix('aG-').lower()}"
    if scheme == "unsupervised":
        weights += "-unsupervised"
    return Row(weights, scheme, prior, solver, weights=weights, paper=Paper(*paper))


# A baseline without a prior, and its refinement by runs of the known model.
_OURS = (
    Row("direct", "supervised", "none", _SOLVERS["regression"], weights="direct"),
    Row("shooting", "supervised", "RK4", _SOLVERS["shooting"], weights="shooting"),
)


def _classical(method: str, title: str, quick: bool = True, key: str = "", **options: Any) -> Row:
    """Return the row of a method that knows the model; `quick` if it takes only seconds."""
    return Row(key or method, _CLASSICAL, "RK4", title, method, options, {} if quick else None)


_MINIMUM = _classical("gauss-newton", "minimum of the cost (4)")

TABLES = {
    "table1": Table(
        "table1",
        "Lorenz-63",
        ("lorenz63-blanked", "lorenz63"),
        (
            replace(_FSGD, paper=Paper("3.55", "7.70e-3", "< 1e-4")),
            _learned("unsupervised", "RK4", "aG-Conv", "3.52", "1.07e-2", "< 1e-4"),
            _learned("unsupervised", "RK4", "aG-LSTM", "4.52", "1.40e-2", "< 1e-4"),
            _learned("unsupervised", "GENN", "aG-Conv", "7.05", "29.85", "2.0e-4"),
            _learned("unsupervised", "GENN", "aG-LSTM", "7.05", "", "2.0e-4"),
            _learned("supervised", "RK4", "aG-Conv", "2.82", "9.24e-2", "< 1e-4"),
            _learned("supervised", "RK4", "aG-LSTM", "4.00", "9.36e-2", "< 1e-4"),
            _learned("supervised", "GENN", "aG-Conv", "1.34", "1.10e-1", "0.16"),
            _learned("supervised", "GENN", "aG-LSTM", "1.62", "1.27e-1", "0.14"),
            *_OURS,
            _MINIMUM,
            _classical("ensemble-smoother", "ensemble smoother"),
            _classical("strong-constraint", "strong constraint"),
            _classical(
                "strong-constraint",
                "strong constraint from shooting",
                key="strong-constraint-warm",
                warm_start="shooting",
            ),
            _classical("posterior-mean", "posterior mean"),
        ),
    ),
    "table2": Table(
        "table2",
        "Lorenz-96",
        ("lorenz96",),
        (
            # Its cost no longer falls after 20 000 iterations.
            replace(
                _FSGD,
                options={"iterations": 50_000},
                quick={"iterations": 20_000},
                paper=Paper("1.06", "1.47e-2", "< 1e-4"),
            ),
            _learned("unsupervised", "RK4", "aG-Conv", "1.00", "1.66e-2", "< 1e-4"),
            _learned("unsupervised", "RK4", "aG-LSTM", "1.32", "1.91e-2", "< 1e-4"),
            _learned("unsupervised", "GENN", "aG-Conv"),
            _learned("unsupervised", "GENN", "aG-LSTM"),
            _learned("supervised", "RK4", "aG-Conv", "0.82", "2.12e-2", "< 1e-4"),
            _learned("supervised", "RK4", "aG-LSTM", "0.97", "3.15e-2", "< 1e-4"),
            _learned("supervised", "GENN", "aG-Conv", "0.49", "7.47e-2", "12.20e-2"),
            _learned("supervised", "GENN", "aG-LSTM", "0.38", "5.30e-2", "7.20e-2"),
            *_OURS,
            replace(_MINIMUM, quick=None),  # two minutes for these windows of 8000 numbers
            _classical("ensemble-smoother", "ensemble smoother", members=400, inflation=1.03),
            _classical("annealed", "annealed, one start", key="annealed-once", restarts=0, hops=0),
            _classical("annealed", "annealed, restarts and hops"),
            _classical(
                "annealed",
                "annealed from shooting, one start",
                key="annealed-warm",
                restarts=0,
                hops=0,
                warm_start="shooting",
            ),
        ),
    ),
}
