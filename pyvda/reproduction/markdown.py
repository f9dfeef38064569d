"""The results of a table as Markdown: the R-scores of all settings, then each setting in full."""

from __future__ import annotations

from typing import Any

DASH = "—"


def table(results: dict[str, Any]) -> str:
    """Return the whole text of a table's JSON."""
    settings = results["settings"]
    parts = [_overview(results), _sets(results)]
    parts += [f"### `{setting}`\n\n{_detail(results, setting)}" for setting in settings]
    notes = _notes(results)
    if notes:
        parts.append(notes)
    return "\n\n".join(parts) + "\n"


def patterns(results: dict[str, Any]) -> str:
    """Return the JSON of benchmarks/patterns.py: R-scores, a column for each method."""
    methods = list(dict.fromkeys(row["method"] for row in results["rows"]))
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in results["rows"]:
        found.setdefault((row["preset"], row["pattern"]), {})[row["method"]] = _interval(row)
    rows = [
        [f"`{preset}`", pattern, *(of.get(method, DASH) for method in methods)]
        for (preset, pattern), of in found.items()
    ]
    return _grid(["setting", "observations", *methods], rows)


def line(setting: str, row: str, entry: dict[str, Any]) -> str:
    """Return one result in a line, for the screen."""
    if entry["state"] != "scored":
        note = f": {entry['note']}" if entry["note"] else ""
        return f"{setting:17s} {row:24s} {entry['state']}{note}"
    score, seconds = _score(entry, "r_score"), f"{entry['seconds']:.1f} s"
    return f"{setting:17s} {row:24s} R {score}  4DVar {_mean(entry, 'four_dvar_score')}  {seconds}"


def _overview(results: dict[str, Any]) -> str:
    settings = list(results["settings"])
    head = ["scheme", "Φ", "solver", "paper"]
    for setting in settings:
        head += [f"`{setting}`", "steps 20-179"]
    rows = []
    for row in results["rows"]:
        cells = [row["scheme"], row["prior"], row["solver"], row["paper"]["r_score"] or DASH]
        for setting in settings:
            entry = row["results"].get(setting, {})
            cells += [_score(entry, "r_score"), _score(entry, "r_score_steps_20_179")]
        rows.append(cells)
    return f"### {results['title']}: R-scores\n\n{_grid(head, rows)}"


def _detail(results: dict[str, Any], setting: str) -> str:
    first = setting == next(iter(results["settings"]))
    head = ["solver", "R-score", "median", "4DVar-score", "under RK4", "ODE-score", "(error / σ)²"]
    head += ["paper: R / 4DVar / ODE"] if first else []
    head += ["parameters", "iterations", "training windows", "training, min"]
    head += ["seconds", "ms a window"]
    rows = []
    for row in results["rows"]:
        entry = row["results"].get(setting)
        if entry is None:
            continue
        name = " ".join(p for p in (row["scheme"], row["prior"], row["solver"]) if p)
        cells = [name, _score(entry, "r_score"), _median(entry), _score(entry, "four_dvar_score")]
        cells += [_score(entry, "four_dvar_score_rk4"), _score(entry, "ode_score")]
        cells.append(_score(entry, "normalised_error"))
        if first:
            paper = [row["paper"][k] or DASH for k in ("r_score", "four_dvar", "ode")]
            cells.append(" / ".join(paper) if set(paper) != {DASH} else DASH)
        cells += [_parameters(entry), _number(entry.get("iterations")), _windows_seen(entry)]
        cells.append(_training_minutes(entry))
        cells += _seconds(entry)
        rows.append(cells)
    return _grid(head, rows)


def _sets(results: dict[str, Any]) -> str:
    lines = []
    for name, one in results["settings"].items():
        lines.append(
            f"`{name}`: {_windows(results, name)} independent windows, seeds "
            f"{one['truth_seed']} (truth) and {one['observation_seed']} (observations)."
        )
    text = " ".join(lines) + " In brackets the 95 % bootstrap interval of the mean over windows."
    text += (
        " (error / σ)²: mean square of the error over the standard deviation that the method gives "
        "it, 1 where that is right."
    )
    if len(results["settings"]) > 1:
        text += (
            " The paper's Table 1 was almost certainly made with observations at steps 16 to 184 "
            "only, the first setting, which its text does not say; the second is what the text "
            "says. The paper's numbers therefore stand beside the first."
        )
    return text


def _notes(results: dict[str, Any]) -> str:
    """Say what a reader would otherwise take for something else."""
    notes, untrained = [], []
    for row in results["rows"]:
        name = " ".join(p for p in (row["scheme"], row["prior"], row["solver"]) if p)
        for setting, entry in row["results"].items():
            where = f"{name}, `{setting}`"
            if entry["state"] == "not trained" and not entry["note"]:
                untrained.append(where)
            elif entry["state"] != "scored":
                notes.append(f"- {where}: {entry['state']}{_because(entry['note'])}.")
            if entry["state"] != "scored":
                continue
            if entry.get("trained_for", setting) != setting:
                notes.append(f"- {where}: weights trained for `{entry['trained_for']}`.")
            if "cut" in entry:
                notes.append(f"- {where}: {_cut(entry)}.")
            ended = {k: n for k, n in entry["ended"].items() if k in ("diverged", "doubtful")}
            if ended:
                listed = ", ".join(f"{n} windows {k}" for k, n in ended.items())
                notes.append(f"- {where}: {listed}.")
            if entry["scores"]["r_score"]["not_finite"]:
                notes.append(f"- {where}: the mean is of the windows that did not diverge.")
    if untrained:
        notes.append(f"- Not trained: {'; '.join(untrained)}.")
    return "\n".join(notes)


def _cut(entry: dict[str, Any]) -> str:
    text = f"cut to {entry['options']['iterations']} of {entry['cut']['iterations']} iterations"
    full = entry.get("full")
    if full:
        low, high = full["r_score_interval"]
        text += (
            f"; a stored run of {full['iterations']} iterations has R {_short(full['r_score'])} "
            f"[{_short(low)}, {_short(high)}], 4DVar-score {_short(full['cost'])} in "
            f"{full['seconds']:.0f} s ({full['windows']} windows of the seeds "
            f"{full['truth_seed']} and {full['observation_seed']})"
        )
    return text


def _because(note: str) -> str:
    return f" ({note})" if note else ""


def _windows(results: dict[str, Any], setting: str) -> int:
    """Return how many windows were scored, the fewest where rows differ."""
    found = [r["results"].get(setting, {}).get("windows") for r in results["rows"]]
    counted = [int(n) for n in found if n]
    return min(counted, default=int(results["settings"][setting]["windows"]))


def _score(entry: dict[str, Any], name: str) -> str:
    one = entry.get("scores", {}).get(name)
    return DASH if not one or one["mean"] is None else _interval(one)


def _interval(one: dict[str, Any]) -> str:
    return f"{_short(one['mean'])} [{_short(one['low'])}, {_short(one['high'])}]"


def _median(entry: dict[str, Any]) -> str:
    """Return the R-score of the window in the middle, which no lost window moves."""
    found = entry.get("r_score_median")
    return DASH if found is None else _short(found)


def _mean(entry: dict[str, Any], name: str) -> str:
    one = entry.get("scores", {}).get(name)
    return DASH if not one or one["mean"] is None else _short(one["mean"])


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.2e}"


def _parameters(entry: dict[str, Any]) -> str:
    counts = entry.get("parameters")
    return _number(sum(counts.values())) if counts else DASH


def _windows_seen(entry: dict[str, Any]) -> str:
    return _number(entry.get("training", {}).get("distinct_windows_seen"))


def _training_minutes(entry: dict[str, Any]) -> str:
    seconds = entry.get("training", {}).get("wall_seconds")
    return DASH if seconds is None else f"{seconds / 60:.0f}"


def _seconds(entry: dict[str, Any]) -> list[str]:
    """Return what the assimilation of all windows took, and of one."""
    if entry["state"] != "scored":
        return [DASH, DASH]
    seconds, windows = entry["seconds"], entry["windows"]
    return [f"{seconds:.3g}", f"{1e3 * seconds / windows:.3g}"]


def _number(value: float | None) -> str:
    if value is None:
        return DASH
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def _grid(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
