"""Sentences beside the tables."""

import numpy as np

from pyvda.paper import (
    notes,
    paired_differences,
)


def learned_entry(r_score: float, size: int, windows: int, minutes: float, **more) -> dict:
    """Return an entry of a learned row, of hard and easy windows."""
    score = {"mean": r_score, "low": r_score - 0.5, "high": r_score + 0.5, "not_finite": 0}
    training = {"distinct_windows_seen": windows, "wall_seconds": 60 * minutes, "steps": 70}
    entry = {
        "state": "scored", "note": "", "windows": 100, "ended": {}, "iterations": 5.0,
        "seconds": 1.0, "options": {}, "scores": {"r_score": score}, "checkpoint": "some",
        "trained_for": "lorenz96", "solver": "conv", "parameters": {"prior": size},
        "training": training, "machine": {"cores": 2}, "r_scores": r_scores(r_score),
    }  # fmt: skip
    return entry | more


def r_scores(mean: float, spread: float = 0.0) -> str:
    """Return the R-scores of twenty windows, whose difficulty all methods share."""
    own = np.where(np.arange(20) % 2, spread, -spread)
    return paired_differences.in_a_line(mean + np.linspace(-0.8, 0.8, 20) + own)


def notes_of(entries: dict[str, dict]) -> str:
    rows_of = [
        {"scheme": "", "prior": "none", "solver": name, "results": {"lorenz96": entry}}
        for name, entry in entries.items()
    ]
    return notes.notes({"settings": {"lorenz96": {}}, "rows": rows_of}, "lorenz96")


def test_the_baseline_is_compared_with_every_learned_row() -> None:
    text = notes_of(
        {
            "baseline": learned_entry(1.0, 100, 1000, 10, solver="regression", mirrored=True),
            "equal": learned_entry(0.9, 120, 900, 12),
            "longer": learned_entry(1.1, 100, 1000, 20),
            "larger": learned_entry(1.02, 200, 1000, 10, r_scores=r_scores(1.02, 0.2)),
            "elsewhere": learned_entry(0.1, 100, 1000, 10, trained_for="lorenz63"),
            "gaps": learned_entry(1.3, 100, 1000, 10, missing=0.6),
            "known": {**learned_entry(0.1, 0, 0, 0), "checkpoint": None, "training": {}},
        }
    )
    assert "- gaps: trained for files with gaps, up to 60 % of the data; here no data" in text
    (line,) = (line for line in text.splitlines() if line.startswith("- Baseline"))
    assert line == (
        "- Baseline baseline: R 1 with 100 parameters, 1000 training windows, 70 steps, 10 "
        "minutes of training, the mean of two mirrored analyses. In brackets, for the other rows: "
        "mean paired difference of R with its 95 % interval; parameters, windows, steps, "
        "minutes. Better: equal 0.9 (-0.1 [-0.1, -0.1]; 120, 900, 70, 12). Worse: longer 1.1 "
        "(+0.1 [+0.1, +0.1]; 100, 1000, 70, 20). No difference shown: larger 1.02 (+0.02 [-0.08, "
        "+0.12]; 200, 1000, 70, 10). Of equal size, windows and minutes, within a quarter: equal "
        "(better). Of equal size and windows, but other minutes: longer (worse)."
    )


def test_what_is_slow_and_how_it_was_timed_is_said() -> None:
    fast = learned_entry(1.0, 10, 10, 1)
    slow = learned_entry(0.5, 10, 10, 1, seconds=3.1)
    assert "More than" not in notes_of({"fast": fast, "exact": {**fast, "seconds": 3.0}})
    found = notes_of({"fast": fast, "slow": slow})
    assert "on 2 cores, 30 ms a window, take slow 31 ms." in found
    assert "The best learned row, slow, is among them." in found
    found = notes_of({"fast": {**fast, "warm_up": 16}, "slow": {**slow, **fast, "seconds": 9.0}})
    assert "row, fast, is not among them" in found
    assert "after a warm-up of 16 windows; without" in found
    assert "loading: slow." in found
    assert "of a single run and include part of the compiling" in notes_of({"fast": fast})


def test_what_the_record_of_a_training_says_is_said() -> None:
    training = {"trained_as": "a part", "note": "with 5 iterations"}
    found = notes_of({"one": learned_entry(1.0, 1, 1, 1, training=training)})
    assert "- one: trained as a part; its minutes are those of the whole run." in found
    assert "- one: with 5 iterations." in found
