"""Numbers of a figure: six digits, quantiles of errors, and the figure that they belong to."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from pyvda.paper.figure_numbers import of_errors, of_maps, of_pathways, write


def reconstruction(label: str, x: np.ndarray):
    return SimpleNamespace(
        solver=SimpleNamespace(label=label), x=x,
        r_score=lambda truth: ((x - truth) ** 2).mean((1, 2)),
    )  # fmt: skip


def test_the_file_names_its_figure(tmp_path) -> None:
    write(tmp_path / "figure2.json", sets={"lorenz63": 5}, quick=False,
          weights={"b": "2", "a": "1"}, numbers={"pathways": {}})  # fmt: skip
    found = json.loads((tmp_path / "figure2.json").read_text())
    assert (found["figure"], found["windows"]) == ("figure2", {"lorenz63": 5})
    assert list(found["weights"]) == ["a", "b"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "figure2.json", sets={}, quick=False, weights={},
              numbers={"x": float("nan")})  # fmt: skip
    assert json.loads((tmp_path / "figure2.json").read_text()) == found  # is left whole


def test_quantiles_of_errors() -> None:
    truth = np.zeros((2, 500, 3))
    error = np.random.default_rng(0).standard_normal(truth.shape) * [1, 2, 3]
    (found,) = of_errors([reconstruction("A", truth + error)], truth)["solvers"].values()
    assert found["r_score"] == pytest.approx((error**2).mean(), rel=1e-5)
    expected = [np.quantile(np.abs(error[..., i]), [0.5, 0.9, 0.99, 0.999]) for i in range(3)]
    np.testing.assert_allclose(found["absolute_error"], expected, rtol=1e-5)


def test_what_is_not_finite_is_null() -> None:
    pathway = SimpleNamespace(
        solver=SimpleNamespace(label="A"), iteration=np.array([0, 10]),
        r_score=np.array([1.23456789, np.nan]), cost=np.array([np.inf, 0.1]),
    )  # fmt: skip
    found = of_pathways({"title": [pathway]})["pathways"]["title"]["A"]
    assert found == {
        "iteration": [0.0, 10.0], "r_score": [1.23457, None], "four_dvar_score": [None, 0.1]
    }  # fmt: skip


def test_a_map_is_of_one_window() -> None:
    truth = np.zeros((2, 4, 3))
    x = truth.copy()
    x[1] = 2.0
    found = of_maps([reconstruction("A", x)], truth, 1)
    assert found["window"] == 1
    assert found["solvers"]["A"] == {"r_score": 4.0, "r_score_of_all_windows": 2.0}
    assert found["error_limit"] > 0
