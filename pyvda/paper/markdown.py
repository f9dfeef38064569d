"""Results as Markdown tables: the R-scores of all settings, then each setting in full."""

from __future__ import annotations

from typing import Any

from pyvda.paper import paired_differences, table_cells
from pyvda.paper.notes import notes, other_setting
from pyvda.paper.table_cells import DASH


def table(results: dict[str, Any]) -> str:
    """Return the complete text for the JSON of a table."""
    parts = [f"### {results['title']}: R-scores", overview(results)]
    for setting in results["settings"]:
        parts += [f"### `{setting}`", detail(results, setting)]
    return "\n\n".join(parts) + "\n"


def overview(results: dict[str, Any]) -> str:
    """Return the R-scores of a table in all settings, and what they are of."""
    parts = [_scores(results), other_setting(results, *results["settings"]), _sets(results)]
    return "\n\n".join(part for part in parts if part)


def detail(results: dict[str, Any], setting: str) -> str:
    """Return everything about the rows of a table in a setting, with the notes."""
    parts = [_detail(results, setting), notes(results, setting)]
    return "\n\n".join(part for part in parts if part)


def patterns(results: dict[str, Any]) -> str:
    """Return a table for the JSON of benchmarks/patterns.py: R-scores, one column per method."""
    methods = list(dict.fromkeys(row["method"] for row in results["rows"]))
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in results["rows"]:
        cell = f"{table_cells.interval(row)}, {table_cells.short(row['median'])}"
        if row.get("doubtful"):
            cell += f", {row['doubtful']} in doubt"
        found.setdefault((row["preset"], row["pattern"]), {})[row["method"]] = cell
    rows = [
        [f"`{preset}`", pattern, *(of.get(method, DASH) for method in methods)]
        for (preset, pattern), of in found.items()
    ]
    return _grid(["setting", "observations", *methods], rows)


def regimes(results: dict[str, Any]) -> str:
    """Return a table for the JSON of benchmarks/regimes.py: one row per pair of models."""
    found: dict[tuple[str, int, bool], dict[str, dict[str, Any]]] = {}
    for row in results["rows"]:
        windows = row["configuration"]["data"]["windows"]
        found.setdefault((row["preset"], windows, row["fresh"]), {})[row["model"]] = row
    models = list(dict.fromkeys(row["model"] for row in results["rows"]))
    rows = []
    for (preset, windows, fresh), of in found.items():
        both = [of[model] for model in models if model in of]
        apart = paired_differences.difference(*both) if len(both) == 2 else None
        rows.append(
            [f"`{preset}`", f"{windows} new ones an epoch" if fresh else str(windows)]
            + [_trained(of[model]) if model in of else DASH for model in models]
            + [DASH if apart is None else table_cells.signed_interval(apart)]
        )
    return _grid(["setting", "training windows", *models, "difference"], rows)


def levers(results: dict[str, Any]) -> str:
    """Return a table for the JSON of benchmarks/levers.py: the base case, then each change."""
    base = results["rows"][0]
    rows = []
    for row in results["rows"]:
        apart = None if row is base else paired_differences.difference(row, base)
        rows.append(
            [
                row.get("lever", "none"),
                _trained(row),
                DASH if apart is None else table_cells.signed_interval(apart),
            ]
        )
    return _grid(["changed", "R-score", "difference"], rows)


def _trained(row: dict[str, Any]) -> str:
    """Return the R-score and the cost of a training."""
    return (
        f"{table_cells.interval(row['scores']['r_score'])}; {row['distinct_windows_seen']} "
        f"windows, {row['steps']} steps, {row['wall_seconds'] / 60:.0f} min"
    )


def line(setting: str, row: str, entry: dict[str, Any]) -> str:
    """Return one result as a line for the screen."""
    if entry["state"] != "scored":
        note = f": {entry['note']}" if entry["note"] else ""
        return f"{setting:17s} {row:24s} {entry['state']}{note}"
    score, seconds = table_cells.score(entry, "r_score"), f"{entry['seconds']:.1f} s"
    cost = table_cells.mean(entry, "four_dvar_score")
    return f"{setting:17s} {row:24s} R {score}  4DVar {cost}  {seconds}"


def _scores(results: dict[str, Any]) -> str:
    settings = list(results["settings"])
    head = ["scheme", "Φ", "solver", "paper: R"]
    for setting in settings:
        head += [f"`{setting}`", "steps 20-179"]
    rows = []
    for row in results["rows"]:
        found = [row["scheme"], row["prior"], row["solver"], row["paper"]["r_score"] or DASH]
        for setting in settings:
            entry = row["results"].get(setting, {})
            for score in ("r_score", "r_score_steps_20_179"):
                found.append(table_cells.marked(entry, score, setting))
        rows.append(found)
    return _grid(head, rows)


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
        found = [
            table_cells.name(row),
            table_cells.marked(entry, "r_score", setting),
            table_cells.median(entry),
        ]
        found += [table_cells.score(entry, of) for of in ("four_dvar_score", "four_dvar_score_rk4")]
        found += [table_cells.score(entry, of) for of in ("ode_score", "normalised_error")]
        if first:
            paper = [row["paper"][k] or DASH for k in ("r_score", "four_dvar", "ode")]
            found.append(" / ".join(paper) if set(paper) != {DASH} else DASH)
        found += [table_cells.parameters(entry), table_cells.number(entry.get("iterations"))]
        found += [table_cells.windows_seen(entry), table_cells.training_minutes(entry)]
        found += table_cells.seconds(entry)
        rows.append(found)
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
        " (error / σ)²: mean square of the error divided by the standard deviation that the method "
        "states, ideally 1. 4DVar-score and ODE-score are under the method's own Φ; a regression "
        "has none. Columns headed paper show the paper's numbers, all others ours. Training "
        "windows are distinct true windows, over all runs that the weights come from."
    )
    if len(results["settings"]) > 1:
        text += (
            " The paper's Table 1 was almost certainly made with observations at steps 16 to 184 "
            "only, which its text does not mention (the first setting); the second setting is that "
            "of the text. The paper's numbers are therefore shown with the first."
        )
    return text


def _windows(results: dict[str, Any], setting: str) -> int:
    """Return the number of scored windows, the smallest if rows differ."""
    found = [r["results"].get(setting, {}).get("windows") for r in results["rows"]]
    counted = [int(n) for n in found if n]
    return min(counted, default=int(results["settings"][setting]["windows"]))


def _grid(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(found) + " |" for found in lines)
