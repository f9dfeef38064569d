"""Blocks of windows: all windows in order, in blocks limited by memory and time."""

from __future__ import annotations

import numpy as np
import pytest
from problems import twin_problem

import pyvda
from pyvda.errors import InputError
from pyvda.methods import METHODS, strong_constraint
from pyvda.methods import blocks as module
from pyvda.methods.blocks import blocks
from pyvda.methods.gauss_newton import GaussNewtonOptions, solve
from pyvda.methods.strong_constraint import StrongConstraintOptions


@pytest.mark.parametrize(("steps", "size", "length"), [(200, 3, 512), (200, 40, 16), (200, 300, 1)])
def test_blocks_are_all_windows_in_order(steps: int, size: int, length: int) -> None:
    chosen = np.arange(7, 1207)
    found = list(blocks(chosen, steps, size))
    assert max(len(block) for block in found) == length
    np.testing.assert_array_equal(np.concatenate(found), chosen)


def test_a_hessian_that_does_not_fit_is_refused(monkeypatch) -> None:
    with pytest.raises(InputError, match=r"takes \d+ GiB, and this machine has \d+ GiB; choose"):
        next(blocks(np.arange(1), 1000, 1_500_000))
    problem = twin_problem("lorenz63", 1, engine="torch")
    monkeypatch.setattr(module.os, "sysconf", lambda name: 64)
    with pytest.raises(InputError, match="choose incremental, fsgd or"):
        solve(problem, GaussNewtonOptions())
    with pytest.raises(InputError, match="a Hessian of 3 numbers for every start takes"):
        strong_constraint.solve(problem, StrongConstraintOptions(starts="climatology", count=200))


# Settings that take each method through all of its stages on a few short windows.
SETTINGS = {
    "fsgd": {"iterations": 25},
    "gauss-newton": {"iterations": 3},
    "annealed": {"restarts": 1, "hops": 1},
    "strong-constraint": {"members": 400, "count": 2},
    "incremental": {"iterations": 2, "inner_iterations": 5},
    "posterior-mean": {"members": 400},
    "ensemble-smoother": {"members": 16},
    "letkf": {"members": 16, "lag": 2},
}


@pytest.mark.julia
@pytest.mark.parametrize("method", [name for name in METHODS if name != "learned"])
def test_the_bits_do_not_depend_on_the_size_of_a_block(method) -> None:
    """Blocks depend on the number of threads, so that other threads would give other bits."""
    observed = pyvda.observe(pyvda.simulate("lorenz63", 11, 1, steps=33), "lorenz63", 2)
    settings = {"model": "lorenz63", "method": method, **SETTINGS[method]}
    whole = pyvda.assimilate(observed, **settings)
    for block in (1, 4, 10):
        found = pyvda.assimilate(observed, block=block, **settings).compute()
        for name, variable in found.data_vars.items():
            np.testing.assert_array_equal(variable.values, whole[name].values, str(name))
