"""Outer loops: where a window that grows ends, and one that does not."""

import sys

import numpy as np
import pytest

import pyvda
from pyvda.methods import incremental
from pyvda.names import Status


@pytest.mark.slow
def test_a_growing_window_ends_with_the_whole_one() -> None:
    truth = pyvda.simulate("lorenz63", windows=1, steps=41, seed=3)
    observed = pyvda.observe(truth, variance=1.0, every=4, seed=4)
    how = {
        "background": (truth["truth"].values[0, 0] + 3.0, np.diag([9.0, 9.0, 9.0]) + 2.0),
        "members": 0,
    }
    found = pyvda.assimilate(
        observed, model="lorenz63", method="incremental", growth=10, tolerance=1e-12,
        iterations=40, **how,
    )  # fmt: skip
    assert float(np.abs(found["analysis"] - truth["truth"]).max()) < 3.0


@pytest.mark.julia
def test_a_window_that_ends_away_from_a_minimum_has_not_converged(monkeypatch) -> None:
    """Without growth no step lowers J any more, while a growing window finds half of it or less."""
    truth = pyvda.simulate("lorenz96", windows=2, steps=41, seed=1)
    observed = pyvda.observe(truth, variance=1.0, every=2, seed=2)
    states = truth["truth"].values
    how = {
        "background": (states.mean((0, 1)), np.diag(states.var((0, 1)))), "members": 0,
        "engine": "julia", "iterations": 30, "tolerance": 1e-3, "model": "lorenz96",
    }  # fmt: skip
    # Of the status before the misfit of a wrong minimum and the report put it in doubt.
    monkeypatch.setattr(sys.modules["pyvda.assimilate"], "with_report", lambda analysis: analysis)
    monkeypatch.setattr(incremental, "judged", lambda status, _, data: (status, 0.5 * data))
    one = observed.isel(window=slice(0, 1))
    stuck, grown = (
        pyvda.assimilate(one, method="incremental", growth=growth, **how) for growth in (0, 4)
    )
    assert int(stuck["iterations"][0]) < 30  # it ended by itself
    assert float(grown["objective"][0]) < 0.5 * float(stuck["objective"][0])
    assert stuck["status"].values.tolist() == [Status.ITERATION_LIMIT]
    assert grown["status"].values.tolist() == [Status.CONVERGED]
