"""Each check passes with a right derivative and fails with one that is a little wrong."""

import json

import numpy as np
import pytest

from pyvda.checks.derivative_check import (
    Check,
    agreement,
    amplification,
    difference_check,
    spread,
    step_checks,
    taylor_check,
)

X = np.random.default_rng(0).standard_normal((3, 5, 2)) + 1


def value(x: np.ndarray) -> np.ndarray:
    return (np.sin(x) + x**2).sum((1, 2))


def gradient(x: np.ndarray) -> np.ndarray:
    return np.cos(x) + 2 * x


@pytest.mark.parametrize("check", [difference_check, taylor_check])
def test_gradients(check) -> None:
    assert check("a cost", value, gradient, X, 0).passed
    assert check("a cost", value, gradient, X, 0, reach=0.1).passed
    for wrong in (1 + 1e-4, -1.0, np.nan):
        assert check("a cost", value, lambda x, w=wrong: w * gradient(x), X, 0).passed is False

    def one_entry(x: np.ndarray) -> np.ndarray:
        g = gradient(x)
        g[1, 2, 0] += 1e-3
        return g

    assert not check("a cost", value, one_entry, X, 0).passed


def test_a_long_direction_in_few_components_is_no_wrong_gradient() -> None:
    x = np.random.default_rng(1).standard_normal((1, 20, 20))
    # All of the gradient's direction lies in the first component, 20 standard deviations of it.
    weight = np.where(np.arange(400).reshape(20, 20) == 0, 1.0, 1e-9)

    def wave(x: np.ndarray) -> np.ndarray:
        return 2 + (weight * np.sin(3 * x)).sum((1, 2))

    def slope(x: np.ndarray) -> np.ndarray:
        return 3 * weight * np.cos(3 * x)

    found = difference_check("a cost", wave, slope, x, 0)
    assert found.passed
    assert found.tolerance is not None
    assert found.tolerance < 1e-7
    assert not difference_check("a cost", wave, lambda x: (1 + 1e-6) * slope(x), x, 0).passed


def test_steps_along_a_long_direction() -> None:
    x = np.random.default_rng(1).standard_normal((1, 1, 400))
    first = np.where(np.arange(400) == 0, 1.0, 0.0)[None, None]

    def passed(factor: float) -> bool | None:
        def tangent(x: np.ndarray, d: np.ndarray) -> np.ndarray:
            return factor * 3 * np.cos(3 * x) * d

        checks = step_checks(("t", "a"), lambda x: np.sin(3 * x), tangent, tangent, x, first, 0)
        return checks[0].passed

    assert passed(1.0)
    assert not passed(1 + 1e-6)


def test_a_cost_that_is_no_number_on_one_side_fails() -> None:
    def half(x: np.ndarray) -> np.ndarray:
        return np.where(x.sum((1, 2)) <= X.sum((1, 2)), value(x), np.nan)

    assert difference_check("a cost", half, gradient, X, 0).passed is False


def test_kinks_are_allowed_where_they_are_announced() -> None:
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((2, 40))

    def kinky(x: np.ndarray) -> np.ndarray:
        return np.maximum(x @ weights, 0).sum((1, 2))

    def slope(x: np.ndarray) -> np.ndarray:
        return (x @ weights > 0) @ weights.T

    assert difference_check("a cost", kinky, slope, X, 0, smooth=False).passed
    assert not difference_check(
        "a cost", kinky, lambda x: 1.05 * slope(x), X, 0, smooth=False
    ).passed


def test_steps() -> None:
    def f(x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 0] * x[:, 1], np.sin(x[:, 0])], 1)

    def tangent(x: np.ndarray, d: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 1] * d[:, 0] + x[:, 0] * d[:, 1], np.cos(x[:, 0]) * d[:, 0]], 1)

    def adjoint(x: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 1] * v[:, 0] + np.cos(x[:, 0]) * v[:, 1], x[:, 0] * v[:, 0]], 1)

    def passed(tangent=tangent, adjoint=adjoint) -> list[bool | None]:
        checks = step_checks(("tangent", "adjoint"), f, tangent, adjoint, X, gradient(X), 0)
        assert [check.name for check in checks] == ["tangent", "adjoint"]
        return [check.passed for check in checks]

    assert passed() == [True, True]
    assert passed(adjoint=lambda x, v: (1 + 1e-10) * adjoint(x, v)) == [True, False]
    assert passed(tangent=lambda x, d: (1 + 1e-6) * tangent(x, d)) == [False, False]


def test_two_computations_agree_to_rounding() -> None:
    eps = np.finfo(float).eps
    a = {"values": (value(X), value(X) * (1 + 5 * eps)), "gradients": (gradient(X), gradient(X))}
    assert agreement("both", a, eps, 1.0).passed
    a["gradients"] = (gradient(X), gradient(X) * (1 + 1e-12))
    assert not agreement("both", a, eps, 1.0).passed
    assert agreement("both", a, eps, 1e3).passed


def test_small_residuals_magnify_rounding() -> None:
    x = np.full((2, 4, 3), 2.0)
    assert amplification(x, np.array([2.0, 0.5])) == pytest.approx(5.0)
    assert spread(x) == 1.0
    assert spread(X) == pytest.approx(X.std())


def test_a_check_that_was_not_run_neither_passes_nor_fails() -> None:
    assert Check("a", None, None, "no engine").passed is None
    assert Check("a", 1.0, 1.0, "").passed is True
    for bad in (np.nextafter(1.0, 2.0), np.nan, np.inf):
        check = Check("a", float(bad), 1.0, "")
        assert check.passed is False
        json.dumps(check.as_dict(), allow_nan=False)
