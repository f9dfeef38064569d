"""Facts about shipped weights: what all runs that they come from cost."""

import pytest

from pyvda.paper import (
    provenance,
)


def run_record(windows: int, started_from: dict | None = None, **data) -> dict:
    """Return what `training.json` says of a run that saw so many windows."""
    configuration = {"data": {"preset": "lorenz63", "seed": 1, "fresh": True, **data}}
    record = {"epochs": 2, "steps": 20, "wall_seconds": 5.0, "configuration": configuration}
    return {**record, "distinct_windows_seen": windows, "started_from": started_from or {}}


@pytest.mark.parametrize(
    ("others", "windows"),
    [
        ({}, 30),  # the same seed draws the same windows
        ({"preset": "lorenz63-blanked"}, 30),  # of which other steps are observed
        ({"fresh": False}, 30),  # those of the first epoch
        ({"seed": 3}, 50),
        ({"steps": 100}, 50),
        ({"preset": "lorenz96"}, 50),
    ],
)
def test_a_training_counts_those_that_it_started_from(others, windows) -> None:
    first = run_record(20, **others)
    second = run_record(10, first)
    third = run_record(30, second)
    whole = provenance.with_earlier(third)
    assert (whole["epochs"], whole["steps"], whole["wall_seconds"]) == (6, 60, 15.0)
    assert whole["distinct_windows_seen"] == windows
    assert provenance.with_earlier(first) == first
