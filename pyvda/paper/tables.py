"""Run the rows of a table one after another, and store the results so far as JSON.

    out/table1.json     scores, costs and machine of every row; rewritten after each row
    out/table1.md       the same as Markdown
    out/trainings/      a folder for each model that is trained again

A quick run writes table1-quick.json, so that the results of a full run remain.

Rows in the JSON with the same weights, options and windows are not run again, so that an
interrupted table continues where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.engine.interface import Array
from pyvda.errors import InputError, TrainingError
from pyvda.io.writing.atomic import replacing, write_json
from pyvda.learned import shipped
from pyvda.learned.description import read_description
from pyvda.machine import machine
from pyvda.paper import markdown, paired_differences
from pyvda.paper.held_out import HELD_OUT
from pyvda.paper.provenance import of_weights, refreshed
from pyvda.paper.retraining import retrained
from pyvda.paper.rows import TABLES, Row, checkpoint_name
from pyvda.paper.scoring import assimilated, scored
from pyvda.progress import ProgressReport, silent
from pyvda.scores import score_table

Progress = Callable[[str], AbstractContextManager[ProgressReport]]

STORED_FSGD = Path(__file__).parent / "fsgd.json"


def _no_progress(what: str) -> AbstractContextManager[ProgressReport]:
    return nullcontext(silent)


def reproduce_table(
    name: str,
    out: Path,
    *,
    quick: bool = False,
    retrain: bool = False,
    windows: int | None = None,
    only: Collection[str] = (),
    engine: str | None = None,
    progress: Progress = _no_progress,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run a table, or its missing rows.

    Parameters
    ----------
    name : str
        A key of `TABLES`.
    out : path
        Folder of the results, created if necessary.
    quick : bool
        Shorten the long descents.
    retrain : bool
        Train the models of the learned rows again instead of using the shipped weights.
    windows : int, optional
        Number of test windows, the first ones; default: all.
    only : collection of str
        Keys of the rows to run; default: all. The other rows remain unchanged.
    engine : str, optional
    progress : callable(str) -> context manager of callable(done, total)
        Shows the progress of a row.
    say : callable(str)
        Called with a line for each completed row.

    Returns
    -------
    dict
        The content of the JSON.

    Raises
    ------
    InputError
        A row of `only` is not in the table, or the results in `out` cannot be read.
    """
    table = TABLES[name]
    rows = table.all_rows()
    unknown = set(only) - {row.key for row in rows}
    if unknown:
        known = ", ".join(row.key for row in rows)
        raise InputError(f"{name} has no row {', '.join(sorted(unknown))}; its rows are {known}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out} ({error.strerror})") from error
    path = results_file(name, out, quick)
    before = _results(path)
    results: dict[str, Any] = {
        "format": 1,
        "table": name,
        "title": table.title,
        "settings": {s: asdict(HELD_OUT[s]) for s in table.settings},
        "rows": [_row(row, before, retrain) for row in rows],
    }
    data: dict[str, tuple[xr.Dataset, xr.Dataset]] = {}
    for row, entry in zip(rows, results["rows"], strict=True):
        if (only and row.key not in only) or (quick and row.quick is None):
            continue
        for setting in table.settings:
            found = entry["results"].get(setting, {})
            with progress(f"{setting} {row.key}") as report:
                run = _Run(row, setting, out, quick, retrain, windows, engine, report, say)
                key = run.key()
                if found.get("key") == key and found.get("state") == "scored":
                    continue
                if setting not in data:
                    data[setting] = HELD_OUT[setting].make(windows, engine)
                entry["results"][setting] = {"key": key, **run.result(*data[setting])}
            _write(path, results)
            if run.state_file is not None:
                run.state_file.unlink(missing_ok=True)
            say(markdown.line(setting, row.key, entry["results"][setting]))
    _write(path, results)
    return results


def refresh_table(name: str, out: Path) -> dict[str, Any]:
    """Rewrite the full results of a table in `out`, and return them, without scoring again.

    Labels of rows and facts about weights are updated.
    """
    path = results_file(name, out, quick=False)
    before = _results(path)
    rows = [_row(row, before, retrain=False) for row in TABLES[name].all_rows()]
    results = before | {"rows": rows}
    _write(path, results)
    return results


def full_descents(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a summary of the complete FSGD runs in a table's JSON, by setting.

    Only runs on the whole test set count. Quick runs show them beside their own results, from the
    file `STORED_FSGD`.
    """
    found = {}
    for row in results["rows"]:
        for setting, entry in row["results"].items():
            held_out = HELD_OUT[setting]
            if row["row"] != "fsgd" or entry["state"] != "scored" or "cut" in entry:
                continue
            if entry["windows"] < held_out.windows:
                continue
            r_score = entry["scores"]["r_score"]
            found[setting] = {
                "preset": setting,
                "windows": entry["windows"],
                "iterations": entry["options"]["iterations"],
                "r_score": r_score["mean"],
                "r_score_interval": [r_score["low"], r_score["high"]],
                "cost": entry["scores"]["four_dvar_score"]["mean"],
                "seconds": entry["seconds"],
                "truth_seed": held_out.truth_seed,
                "observation_seed": held_out.observation_seed,
                "machine": entry["machine"],
            }
    return found


def results_file(name: str, out: Path, quick: bool) -> Path:
    """Return the path of the results of a table."""
    return out / (f"{name}-quick.json" if quick else f"{name}.json")


# Increased when scores or their timing change, so that older results are computed again. (The
# timing of the descent has not changed: compared with its minutes, compiling is negligible.)
_SCORED, _SCORED_OTHERWISE = 3, {"fsgd": 2, "learned": 4}
WARM_UP = 16  # windows assimilated before the clock starts: two lanes of the engine


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


class _Run:
    """One row in one setting."""

    def __init__(
        self,
        row: Row,
        setting: str,
        out: Path,
        quick: bool,
        retrain: bool,
        windows: int | None,
        engine: str | None,
        report: ProgressReport,
        say: Callable[[str], None],
    ) -> None:
        self.row, self.setting, self.quick = row, setting, quick
        self.windows, self.engine, self.report = windows, engine, report
        self.options = row.settings_of(quick)
        if "warm_start" in self.options:
            self.options["warm_start"] = f"{setting}-{self.options['warm_start']}"
        self.state_file = None
        self.note = ""
        self.checkpoint: Path | None = None
        self.checkpoint_name = ""
        if row.method == "fsgd":
            identity = hashlib.sha256(json.dumps([self.options, windows]).encode()).hexdigest()[:8]
            self.state_file = out / f"fsgd-{setting}-{identity}.npz"
        if row.method == "learned":
            try:
                self._find_weights(out, retrain, say)
            except TrainingError as error:
                self.note = str(error)

    def _find_weights(self, out: Path, retrain: bool, say: Callable[[str], None]) -> None:
        name = checkpoint_name(self.setting, self.row)
        if retrain:
            found = retrained(self.setting, self.row, name, out / "trainings", self.engine, say)
            if found is not None:
                self.checkpoint, self.checkpoint_name = found, found.name
        elif name is not None:
            self.checkpoint, self.checkpoint_name = shipped.FOLDER / name, name

    def key(self) -> str:
        """Return a hash of everything that the scores depend on."""
        held_out = HELD_OUT[self.setting]
        windows = self.windows or held_out.windows
        scored_as = _SCORED_OTHERWISE.get(self.row.method, _SCORED)
        parts: list[Any] = [scored_as, self.row.method, self.options, windows,
                            held_out.truth_seed, held_out.observation_seed]  # fmt: skip
        if self.options.get("warm_start") in shipped.names():
            parts.append(read_description(shipped.FOLDER / self.options["warm_start"]).digest())
        if self.row.method == "learned":
            parts.append(self.checkpoint and read_description(self.checkpoint).digest())
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def result(self, truth: xr.Dataset, observed: xr.Dataset) -> dict[str, Any]:
        """Return the row's scores and costs, or the reason why there are none."""
        if self.row.method == "learned" and self.checkpoint is None:
            return {"state": "not trained", "note": self.note}
        settings: dict[str, Any] = {"engine": self.engine, **self.options}
        if self.checkpoint is not None:
            settings["checkpoint"] = self.checkpoint
        else:
            settings |= {"method": self.row.method, "model": truth.attrs["model"]}
        if self.state_file is not None:
            settings["state"] = self.state_file
        try:
            analysis, seconds = assimilated(
                observed, report=self.report, warm_up=WARM_UP, **settings
            )
        except InputError as error:
            return {"state": "refused", "note": str(error)}
        by_window = scored(analysis, truth, self.checkpoint, self.engine)
        scores = score_table(by_window)
        status = analysis[names.STATUS].values
        return {
            "state": "scored",
            "note": self.note,
            "windows": len(status),
            **scores,
            "r_score_median": _finite(np.median(by_window["r_score"])),
            "ended": {s.name.lower(): int(n) for s in names.Status if (n := (status == s).sum())},
            "iterations": float(np.mean(analysis[names.ITERATIONS].values)),
            "seconds": round(seconds, 3),
            "warm_up": WARM_UP,
            "options": self.options,
            **(self._of_weights(self.checkpoint, by_window["r_score"]) if self.checkpoint else {}),
            **self._cut_short(),
            "machine": machine(self.engine),
        }

    def _of_weights(self, checkpoint: Path, r_scores: Array) -> dict[str, Any]:
        """Return facts about the weights, and the R-scores for paired comparisons."""
        known = of_weights(checkpoint, self.checkpoint_name)
        return {**known, paired_differences.KEY: paired_differences.in_a_line(r_scores)}

    def _cut_short(self) -> dict[str, Any]:
        """Return the stored scores of the full descent, for a shortened one."""
        if not self.quick or self.row.method != "fsgd":
            return {}
        stored = json.loads(STORED_FSGD.read_text("utf-8"))
        return {"cut": dict(self.row.options), "full": stored.get(self.setting)}


def _row(row: Row, before: dict[str, Any], retrain: bool) -> dict[str, Any]:
    """Return a row for the JSON, with its previous results."""
    known = {one["row"]: one["results"] for one in before.get("rows", [])}
    found = known.get(row.key, {})
    if not retrain:
        found = {setting: refreshed(entry) for setting, entry in found.items()}
    return {
        "row": row.key, "scheme": row.scheme, "prior": row.prior, "solver": row.solver,
        "paper": asdict(row.paper), "results": dict(found),
    }  # fmt: skip


def _results(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["format"] != 1:
            raise ValueError(f"format {found['format']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not hold results of `pyvda reproduce` ({error}); remove it, or name "
            "another folder"
        ) from error
    return dict(found)


def _write(path: Path, results: dict[str, Any]) -> None:
    write_json(path, results)
    with replacing(path.with_suffix(".md")) as temporary:
        temporary.write_text(markdown.table(results), "utf-8")
