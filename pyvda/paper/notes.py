"""The notes under a table, generated from its numbers: what they mean and how rows compare."""

from __future__ import annotations

from typing import Any

from pyvda.paper import paired_differences, table_cells
from pyvda.paper.table_cells import short

EQUAL = 1.25  # largest ratio of sizes, windows and minutes that are called equal
LIMIT_MS = 30.0  # per window: 2000 windows in a minute

Entries = list[tuple[str, dict[str, Any]]]


def notes(results: dict[str, Any], setting: str) -> str:
    """Return the list of notes for a setting."""
    known = [(table_cells.name(r), r["results"][setting]) for r in results["rows"]
             if setting in r["results"]]  # fmt: skip
    scored = [(name, entry) for name, entry in known if entry["state"] == "scored"]
    learned = [
        (name, entry) for name, entry in scored
        if "checkpoint" in entry and not table_cells.elsewhere(entry, setting)
        and entry["scores"]["r_score"]["mean"] is not None
    ]  # fmt: skip
    found = [other_setting(results, setting), *_baselines(learned), _slow(learned)]
    found.append(_clock(scored))
    for name, entry in scored:
        found += [f"{name}: {text}." for text in _of_row(entry)]
    found += [
        f"{name}: {entry['state']}{_because(entry['note'])}." for name, entry in known
        if entry["state"] != "scored" and (entry["note"] or entry["state"] != "not trained")
    ]  # fmt: skip
    untrained = [n for n, e in known if e["state"] == "not trained" and not e["note"]]
    if untrained:
        found.append(f"Not trained: {'; '.join(untrained)}.")
    return "\n".join(f"- {text}" for text in found if text)


def other_setting(results: dict[str, Any], *settings: str) -> str:
    """Return the meaning of the dagger if it is used."""
    cases = [(one, row["results"].get(one, {})) for row in results["rows"] for one in settings]
    trained = {
        f"`{entry['trained_for']}`"
        for setting, entry in cases
        if table_cells.elsewhere(entry, setting)
    }
    if not trained:
        return ""
    return (
        f"{table_cells.DAGGER} Weights trained for {', '.join(sorted(trained))}, whose "
        "observations are at other steps; not a score of a model trained for this setting."
    )


def _baselines(learned: Entries) -> list[str]:
    """Compare rows with each regression, and name those of equal size, windows and minutes."""
    costed = [
        (name, entry) for name, entry in learned
        if entry.get("training") and entry.get("parameters") and not entry.get("missing")
    ]  # fmt: skip
    regressions = [(n, e) for n, e in costed if e.get("solver") == "regression"]
    others = [(n, e) for n, e in costed if e.get("solver") != "regression"]
    return [_baseline(name, entry, others) for name, entry in regressions] if others else []


def _baseline(name: str, baseline: dict[str, Any], others: Entries) -> str:
    size, windows, steps, minutes = _costs(baseline)
    text = (
        f"Baseline {name}: R {short(_r(baseline)['mean'])} with {size} parameters, {windows} "
        f"training windows, {steps} steps, {minutes} minutes of training{_mirrored(baseline)}. In "
        "brackets, for the other rows: mean paired difference of R with its 95 % interval; "
        "parameters, windows, steps, minutes."
    )
    by_verdict: dict[str, list[str]] = {"better": [], "worse": [], "no difference shown": []}
    equal: list[str] = []
    but_for_time: list[str] = []
    for other, entry in others:
        found = paired_differences.difference(entry, baseline)
        verdict = paired_differences.verdict(found)
        apart = f"{table_cells.signed_interval(found)}; " if found is not None else ""
        by_verdict[verdict].append(
            f"{other} {short(_r(entry)['mean'])} ({apart}{', '.join(_costs(entry))}"
            f"{_mirrored(entry)})"
        )
        size_near, windows_near, minutes_near = (
            _near(a, b) for a, b in zip(_amounts(entry), _amounts(baseline), strict=True)
        )
        if size_near and windows_near:
            (equal if minutes_near else but_for_time).append(f"{other} ({verdict})")
    for verdict, listed in by_verdict.items():
        if listed:
            text += f" {verdict.capitalize()}: {'; '.join(listed)}."
    text += f" Of equal size, windows and minutes, within a quarter: {_listed(equal)}."
    if but_for_time:
        text += f" Of equal size and windows, but other minutes: {_listed(but_for_time)}."
    return text


def _listed(names: list[str]) -> str:
    return "; ".join(names) or "no row"


def _r(entry: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = entry["scores"]["r_score"]
    return found


def _costs(entry: dict[str, Any]) -> tuple[str, str, str, str]:
    steps = table_cells.number(entry["training"].get("steps"))
    minutes = table_cells.training_minutes(entry)
    return table_cells.parameters(entry), table_cells.windows_seen(entry), steps, minutes


def _amounts(entry: dict[str, Any]) -> tuple[float, float, float]:
    training = entry["training"]
    size = float(sum(entry["parameters"].values()))
    return size, training["distinct_windows_seen"], training["wall_seconds"]


def _near(one: float, other: float) -> bool:
    return max(one, other) <= EQUAL * min(one, other)


def _mirrored(entry: dict[str, Any]) -> str:
    return ", the mean of two mirrored analyses" if entry.get("mirrored") else ""


def _slow(learned: Entries) -> str:
    """Name the learned rows that take over a minute for 2000 windows."""
    slow = [(name, entry) for name, entry in learned if table_cells.milliseconds(entry) > LIMIT_MS]
    if not slow:
        return ""
    best = min(learned, key=lambda one: _r(one[1])["mean"])
    listed = "; ".join(f"{name} {table_cells.milliseconds(entry):.3g} ms" for name, entry in slow)
    cores = sorted({entry["machine"]["cores"] for _, entry in slow if "machine" in entry})
    on = f" on {cores[0]} cores" if len(cores) == 1 else ""
    also = "is among them" if best[0] in dict(slow) else "is not among them"
    return (
        f"More than a minute for 2000 windows{on}, {LIMIT_MS:.0f} ms a window, take {listed}. The "
        f"best learned row, {best[0]}, {also}."
    )


def _clock(scored: Entries) -> str:
    """State what the seconds include."""
    if not scored:
        return ""
    cold = [name for name, entry in scored if not entry.get("warm_up")]
    warm = {entry["warm_up"] for _, entry in scored if entry.get("warm_up")}
    if not warm:
        return "Seconds are those of a single run and include part of the compiling and loading."
    text = f"Seconds are those of one run after a warm-up of {max(warm)} windows"
    if cold:
        text += (
            f"; without a warm-up, and so with part of the compiling and loading: {'; '.join(cold)}"
        )
    return f"{text}."


def _of_row(entry: dict[str, Any]) -> list[str]:
    """Return the notes for one row."""
    found = [_cut(entry)] if "cut" in entry else []
    training = entry.get("training", {})
    if "trained_as" in training:
        found.append(f"trained as {training['trained_as']}; its minutes are those of the whole run")
    if "note" in training:
        found.append(training["note"])
    if entry.get("missing"):
        share = f"{100 * entry['missing']:.0f} %"
        found.append(
            f"trained for files with gaps, up to {share} of the data; here no data are missing"
        )
    ended = {k: n for k, n in entry["ended"].items() if k in ("diverged", "doubtful")}
    if ended:
        found.append(", ".join(f"{n} windows {k}" for k, n in ended.items()))
    if entry["scores"]["r_score"]["not_finite"]:
        found.append("the mean is of the windows that did not diverge")
    return found


def _cut(entry: dict[str, Any]) -> str:
    text = f"cut to {entry['options']['iterations']} of {entry['cut']['iterations']} iterations"
    full = entry.get("full")
    if full:
        low, high = full["r_score_interval"]
        text += (
            f"; a stored run of {full['iterations']} iterations has R {short(full['r_score'])} "
            f"[{short(low)}, {short(high)}], 4DVar-score {short(full['cost'])} in "
            f"{full['seconds']:.0f} s ({full['windows']} windows of the seeds "
            f"{full['truth_seed']} and {full['observation_seed']})"
        )
    return text


def _because(note: str) -> str:
    return f" ({note})" if note else ""
