"""Observation functions are registered once and asked through the boundary."""

import numpy as np
import pytest

from pyvda.engine.julia.observation_function import ObservationFunctions
from pyvda.engine.julia.signatures import c_arguments
from pyvda.errors import EngineError, InputError


class Julia:
    """h(x) = (x₁ x₂, x₂) in place of Julia."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.fails = False

    def __call__(self, name: str, **given) -> None:
        assert len(c_arguments(name, given)) == len(given)
        if name == "register_observation":
            assert len(given["source"]) == given["source_bytes"]
            self.texts.append(given["source"])
            given["handle"][0] = 7
            return
        assert name == "observe"
        channels = 0 if given["what"] == 3 else 2
        assert (given["observation_function"], given["D"], given["channels"]) == (7, 2, channels)
        assert given["count"] == len(given["x"])
        if self.fails:
            raise EngineError("Julia: observe.jl:1: DomainError")
        a, b = given["x"].T
        if given["what"] == 0:
            given["out"][:] = np.stack((a * b, b), 1)
        elif given["what"] == 1:
            rows = np.stack((np.stack((b, a), 1), np.stack((0 * a, 1 + 0 * a), 1)), 1)
            given["out"][:] = rows
        elif given["what"] == 3:
            given["out"][:] = 2


def test_values_and_derivatives_of_states() -> None:
    julia = Julia()
    functions = ObservationFunctions(julia)
    x = np.asfortranarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])  # any layout in memory
    np.testing.assert_array_equal(functions.values("a.jl", "é", x, 2), [[2, 2], [12, 4], [30, 6]])
    rows = functions.derivatives("a.jl", "é", x, 2)
    np.testing.assert_array_equal(rows[1], [[4, 3], [0, 1]])
    functions.check("a.jl", "é", x, 2)
    assert functions.count("a.jl", "é", x[0]) == 2
    assert julia.texts == ["é".encode()]
    functions.values("a.jl", "changed", x, 2)
    functions.values("b.jl", "é", x, 2)
    assert len(julia.texts) == 3


def test_its_errors_are_bad_input() -> None:
    julia = Julia()
    julia.fails = True
    with pytest.raises(InputError, match=r"the observation function fails \(Julia: observe\.jl:1"):
        ObservationFunctions(julia).values("a.jl", "x", np.ones((1, 2)), 2)
