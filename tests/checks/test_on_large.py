"""Right derivatives of a large state pass, and a wrong adjoint fails in its own rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import pyvda
from pyvda.checks.on_large import large_checks
from pyvda.checks.run import failed
from pyvda.engine import get_engine
from pyvda.state.batch import Batch

N = 17


@dataclass
class WithWrongAdjoint:
    engine: Any

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def adjoint_run(self, *arguments):
        return self.engine.adjoint_run(*arguments) * (1 + 1e-3)


def checks(engine):
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(*[np.linspace(0, np.pi, N)] * 2, indexing="ij")
    guess = np.broadcast_to((-15 * np.sin(y) * np.sin(x)).ravel(), (1, 12, N * N)).copy()
    mask = (rng.random(guess.shape) < 0.1).astype(float)
    batch = Batch((guess + rng.normal(size=guess.shape)) * mask, mask, guess)
    model = pyvda.get_model("quasi-geostrophic", n=N)
    return [one for group in large_checks(engine, model, batch, 5.0, 0) for one in group()]


@pytest.mark.parametrize("name", ["torch", pytest.param("julia", marks=pytest.mark.julia)])
def test_right_derivatives_pass(name) -> None:
    found = checks(get_engine(name))
    assert failed(found) == []
    assert len(found) == 9
    assert all((one.passed is None) == (name == "torch" and "julia" in one.name) for one in found)


def test_a_wrong_adjoint_fails_in_its_own_rows() -> None:
    wrong = {one.name.partition(": ")[2] for one in failed(checks(WithWrongAdjoint(get_engine())))}
    assert wrong == {
        "adjoint, in ulps", "gradient, by differences", "gradient, Taylor test",
    }  # fmt: skip
