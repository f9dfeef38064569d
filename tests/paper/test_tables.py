"""Levers and regimes: which entries stand side by side."""

from typing import Any

import numpy as np

from pyvda.paper import (
    markdown,
    paired_differences,
)


def trained_row(mean: float, **labels: Any) -> dict[str, Any]:
    """Return a result of benchmarks/trainings.py."""
    return {
        "scores": {"r_score": {"mean": mean, "low": mean - 0.5, "high": mean + 0.5}},
        "r_scores": r_scores(mean), "wall_seconds": 90, "steps": 70, "distinct_windows_seen": 5,
        "configuration": {"data": {"windows": 5}}, **labels,
    }  # fmt: skip


def test_levers_are_held_against_the_training_that_has_all() -> None:
    text = markdown.levers({"rows": [trained_row(1.0), trained_row(1.2, lever="no noise")]})
    assert text.splitlines()[0] == "| changed | R-score | difference |"
    assert text.splitlines()[2:] == [
        "| none | 1 [0.5, 1.5]; 5 windows, 70 steps, 2 min | — |",
        "| no noise | 1.2 [0.7, 1.7]; 5 windows, 70 steps, 2 min | +0.2 [+0.2, +0.2] |",
    ]


def test_regimes_set_two_models_side_by_side() -> None:
    def row(model: str, mean: float, windows: int = 5, fresh: bool = False) -> dict[str, Any]:
        settings = {"data": {"windows": windows}}
        labels = {"preset": "lorenz63", "model": model, "fresh": fresh}
        return trained_row(mean, configuration=settings, **labels)

    rows = [row("a", 1.0), row("b", 1.2), row("a", 2.0, 9), row("b", 2.0, 9, fresh=True)]
    lines = markdown.regimes({"rows": rows}).splitlines()
    assert lines[0] == "| setting | training windows | a | b | difference |"
    took = "5 windows, 70 steps, 2 min"
    first, second, third = (f"{m:.3g} [{m - 0.5:.3g}, {m + 0.5:.3g}]; {took}" for m in (1, 1.2, 2))
    assert lines[2:] == [
        f"| `lorenz63` | 5 | {first} | {second} | -0.2 [-0.2, -0.2] |",
        f"| `lorenz63` | 9 | {third} | — | — |",
        f"| `lorenz63` | 9 new ones an epoch | — | {third} | — |",
    ]


def r_scores(mean: float, spread: float = 0.0) -> str:
    """Return the R-scores of twenty windows, whose difficulty all methods share."""
    own = np.where(np.arange(20) % 2, spread, -spread)
    return paired_differences.in_a_line(mean + np.linspace(-0.8, 0.8, 20) + own)
