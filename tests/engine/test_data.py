"""Results of an engine, and its description of itself."""

import numpy as np

from pyvda.engine.data import CostResult, EngineInfo


def test_results_and_engines_describe_themselves() -> None:
    result = CostResult(np.array([1.0, 2.0]), np.array([0.5, 0.25]), np.ones(2), None)
    np.testing.assert_array_equal(result.total, [1.5, 2.25])
    assert (
        str(EngineInfo("julia", "libjulia", "1.5.3", 2, "")) == "julia (libjulia) 1.5.3, 2 threads"
    )
    assert str(EngineInfo("torch", "torch", "2.1", 1, "")) == "torch 2.1, 1 thread"
