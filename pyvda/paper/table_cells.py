"""The text of a cell in a table, from an entry of its JSON."""

from __future__ import annotations

from typing import Any

from pyvda.scores import Score

DASH = "—"
DAGGER = "†"  # the weights were trained for another setting


def name(row: dict[str, Any]) -> str:
    """Return scheme, Φ and solver of a row as one string."""
    return " ".join(
        p for p in (row["scheme"], row["prior"], row["solver"]) if p not in ("", "none")
    )


def elsewhere(entry: dict[str, Any], setting: str) -> bool:
    """Return whether the weights were trained for another setting."""
    return bool(entry.get("trained_for", setting) != setting)


def score(entry: dict[str, Any], of: str) -> str:
    """Return a score's mean and interval."""
    one = entry.get("scores", {}).get(of)
    return DASH if not one or one["mean"] is None else interval(one)


def marked(entry: dict[str, Any], of: str, setting: str) -> str:
    """Return a score, with a dagger if the weights were trained for another setting."""
    text = score(entry, of)
    return f"{text} {DAGGER}" if text != DASH and elsewhere(entry, setting) else text


def interval(one: dict[str, Any]) -> str:
    """Return mean and interval."""
    return f"{short(one['mean'])} [{short(one['low'])}, {short(one['high'])}]"


def signed_interval(found: Score) -> str:
    """Return a difference and its interval, with signs."""
    return f"{found.mean:+.3g} [{found.low:+.3g}, {found.high:+.3g}]"


def median(entry: dict[str, Any]) -> str:
    """Return the median R-score, which is robust to diverged windows."""
    found = entry.get("r_score_median")
    return DASH if found is None else short(found)


def mean(entry: dict[str, Any], of: str) -> str:
    """Return a score's mean alone."""
    one = entry.get("scores", {}).get(of)
    return DASH if not one or one["mean"] is None else short(one["mean"])


def short(value: float) -> str:
    """Return three digits."""
    return f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.2e}"


def parameters(entry: dict[str, Any]) -> str:
    """Return the number of trained parameters."""
    counts = entry.get("parameters")
    return number(sum(counts.values())) if counts else DASH


def windows_seen(entry: dict[str, Any]) -> str:
    """Return the number of distinct training windows."""
    return number(entry.get("training", {}).get("distinct_windows_seen"))


def training_minutes(entry: dict[str, Any]) -> str:
    """Return the duration of the training in minutes."""
    seconds = entry.get("training", {}).get("wall_seconds")
    return DASH if seconds is None else f"{seconds / 60:.0f}"


def milliseconds(entry: dict[str, Any]) -> float:
    """Return the duration of the assimilation per window."""
    return float(1e3 * entry["seconds"] / entry["windows"])


def seconds(entry: dict[str, Any]) -> list[str]:
    """Return the duration of the assimilation in s, and per window in ms."""
    if entry["state"] != "scored":
        return [DASH, DASH]
    return [f"{entry['seconds']:.3g}", f"{milliseconds(entry):.3g}"]


def number(value: float | None) -> str:
    """Return a count, or a mean of counts."""
    if value is None:
        return DASH
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"
