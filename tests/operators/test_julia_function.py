"""Observation operators in a Julia file: values, derivatives, and wrong files."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import pyvda
from pyvda.errors import InputError
from pyvda.operators import JuliaFunction

pytestmark = pytest.mark.julia

OBSERVE = "observe((x, y, z)) = (x * z / 10, sqrt(1 + y^2), exp(-x^2) * max(z, 0))\n"
TANGENT = """\
observe_tangent_linear((x, y, z), (dx, dy, dz)) =
    ((dx * z + x * dz) / 10, y * dy / sqrt(1 + y^2),
     exp(-x^2) * (dz * (z > 0) - 2x * dx * max(z, 0)))
"""
ADJOINT = """\
observe_adjoint((x, y, z), (u, v, w)) =
    (u * z / 10 - 2x * exp(-x^2) * max(z, 0) * w, v * y / sqrt(1 + y^2),
     u * x / 10 + exp(-x^2) * (z > 0) * w)
"""


def by_numpy(state: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(state, -1, 0)
    return np.stack((x * z / 10, np.sqrt(1 + y**2), np.exp(-(x**2)) * np.maximum(z, 0)), -1)


def operator(folder: Path, text: str) -> JuliaFunction:
    path = folder / "observe.jl"
    path.write_text(text)
    return JuliaFunction(path)


@pytest.mark.parametrize("given", ["", TANGENT, ADJOINT, TANGENT + ADJOINT])
def test_values_and_derivatives(tmp_path: Path, given: str) -> None:
    h = operator(tmp_path, OBSERVE + given)
    x = np.random.default_rng(0).standard_normal((4, 5, 3))
    h.check(3, 3)
    h.check(3, 3, x.reshape(-1, 3))
    np.testing.assert_allclose(h.values(x, 3), by_numpy(x), rtol=1e-14, atol=1e-14)
    random = np.random.default_rng(1)
    dx, v = random.standard_normal(x.shape), random.standard_normal((4, 5, 3))
    difference = (by_numpy(x + 1e-6 * dx) - by_numpy(x - 1e-6 * dx)) / 2e-6
    forward = np.einsum("...kd,...d->...k", h.derivatives(x, 3), dx)
    np.testing.assert_allclose(forward, difference, rtol=1e-6, atol=1e-8)
    # The dot product, with the pullback that torch takes.
    state = torch.as_tensor(x).requires_grad_()
    (back,) = torch.autograd.grad(h(state), state, torch.as_tensor(v))
    np.testing.assert_allclose((back.numpy() * dx).sum(), (v * forward).sum(), rtol=1e-12)


def test_a_long_state_is_a_vector(tmp_path: Path) -> None:
    h = operator(tmp_path, "observe(x) = (sum(x .^ 2), x[1] * x[40])\n")
    x = np.random.default_rng(2).standard_normal((3, 40))
    h.check(40, 2)
    rows = h.derivatives(x, 2)
    np.testing.assert_allclose(rows[:, 0], 2 * x, rtol=1e-14)
    assert np.array_equal(rows[:, 1, [0, 39]], x[:, [39, 0]])
    assert np.count_nonzero(rows[:, 1]) == 6


IN_PLACE = """\
function observe!(y, x)
    y[1] = x[1] * x[end] / 10
    for k in 2:length(y)
        y[k] = sqrt(1 + x[k]^2)
    end
end
"""
IN_PLACE_ADJOINT = """\
function observe_adjoint!(xbar, x, v)
    fill!(xbar, 0)
    xbar[1] += v[1] * x[end] / 10
    xbar[end] += v[1] * x[1] / 10
    for k in 2:length(v)
        xbar[k] += v[k] * x[k] / sqrt(1 + x[k]^2)
    end
end
"""
IN_PLACE_TANGENT = """\
function observe_tangent_linear!(dy, x, dx)
    dy[1] = (dx[1] * x[end] + x[1] * dx[end]) / 10
    for k in 2:length(dy)
        dy[k] = dx[k] * x[k] / sqrt(1 + x[k]^2)
    end
end
"""


@pytest.mark.parametrize("given", ["", IN_PLACE_ADJOINT, IN_PLACE_TANGENT])
@pytest.mark.parametrize("size", [5, 50])
def test_a_function_in_place(tmp_path: Path, given: str, size: int) -> None:
    h = operator(tmp_path, IN_PLACE + given)
    x = np.random.default_rng(4).standard_normal((3, size))
    h.check(size, 4, x)
    expected = np.sqrt(1 + x[:, :4] ** 2)
    expected[:, 0] = x[:, 0] * x[:, -1] / 10
    np.testing.assert_allclose(h.values(x, 4), expected, rtol=1e-14)
    rows = np.zeros((3, 4, size))
    rows[:, 0, 0], rows[:, 0, -1] = x[:, -1] / 10, x[:, 0] / 10
    for k in range(1, 4):
        rows[:, k, k] = x[:, k] / np.sqrt(1 + x[:, k] ** 2)
    np.testing.assert_allclose(h.derivatives(x, 4), rows, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    ("text", "size", "found"),
    [
        ("observe(x) = x[1]\n", 3, 1),
        ("observe(x) = (x[1], 2)\n", 3, 2),
        ("observe(x) = x[1:3]\n", 40, 3),
        ("observe!(y, x) = (y .= x[1:2:end])\nobserve_count(D) = cld(D, 2)\n", 5, 3),
        ("observe!(y, x) = (y .= x)\n", 3, "define observe_count"),
        ("observe(x) = ()\n", 3, "no value"),
        ('observe(x) = "no"\n', 3, "returns String"),
        ("observe(x) = x[1]\nobserve_count(D) = 0\n", 3, r"observe_count\(3\) returns 0"),
    ],
)
def test_the_number_of_values(tmp_path: Path, text: str, size: int, found: int | str) -> None:
    h = operator(tmp_path, text)
    if isinstance(found, int):
        assert h.count(np.ones(size)) == found
        h.check(size, found)
    else:
        with pytest.raises(InputError, match=found) as refused:
            h.count(np.ones(size))
        assert "\n" not in str(refused.value)


def test_a_stated_number_is_that_of_the_channels(tmp_path: Path) -> None:
    h = operator(tmp_path, IN_PLACE + "observe_count(D) = 3\n")
    with pytest.raises(InputError, match=r"observe_count.* is 3, but the observations have 2 chan"):
        h.check(5, 2)


def test_an_operator_travels_to_other_processes(tmp_path: Path) -> None:
    h = operator(tmp_path, OBSERVE)
    h.check(3, 3)
    again = pickle.loads(pickle.dumps(h))
    x = torch.randn(2, 3, dtype=torch.float64)
    np.testing.assert_allclose(again(x).numpy(), by_numpy(x.numpy()), rtol=1e-14)


@pytest.mark.parametrize(
    ("text", "channels", "said"),
    [
        (
            OBSERVE + ADJOINT.replace("v * y", "-v * y"), 3,
            r"observe_adjoint is wrong: the derivative of observed value 2 by component 2 should",
        ),
        (
            OBSERVE + TANGENT.replace("- 2x", "+ 2x"), 3,
            r"observe_tangent_linear is wrong: the derivative of observed value 3 by component 1",
        ),
        ("observe((x, y, z)) = (x^2,)\n", 2, r"observe\(x\) returns 1 values, expected 2"),
        ('observe(x) = "no"\n', 1, "returns String, expected 1 real numbers"),
        ("observe(x) = (x[1] / 0,)\n", 1, "NaN or infinite values"),
        ("look(x) = (x[1],)\n", 1, r"does not define observe\(x\)"),
        ("observe!(y, x) = (y[1] = x[1]; nothing)\n", 2, "NaN or infinite values"),
        ("observe(x) = (exit(3); x[1])\n", 1, r"cannot end the process by exit\(\)"),
        ("observe(x) = (Base.exit(3); x[1])\n", 1, r"cannot end the process by exit\(\)"),
        ("observe!(y, x) = push!(y, x[1])\n", 1, "changes the length of its first argument"),
        (
            IN_PLACE + IN_PLACE_ADJOINT.replace("x[k] / sqrt", "sqrt"), 3,
            "observe_adjoint! is wrong: the derivative of observed value 3 by component 3 should",
        ),
        ("observe(x) = (x[1],)\n\nobserve(x) = (\n", 1, r"^observe\.jl:3: "),
        ("\nlook(1)\n", 1, r"^observe\.jl:2: UndefVarError"),
        ("\n\nobserve(x) = (look(x[1]),)\n", 1, r"observe\.jl:3: UndefVarError"),
        ("observe(x) = (x[4],)\n", 1, r"observe\.jl:1: BoundsError"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused_in_a_sentence(
    tmp_path: Path, text: str, channels: int, said: str
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        operator(tmp_path, text).check(3, channels)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"a\0b"])
def test_no_text(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "observe.jl"
    path.write_bytes(text)
    with pytest.raises(InputError, match="expected a Julia file"):
        JuliaFunction(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        pyvda.operators.JuliaFunction(tmp_path / "none.jl")


def test_a_changed_file_is_another_function(tmp_path: Path) -> None:
    x = np.array([[2.0, 0.0, 0.0]])
    first, second = (
        operator(tmp_path, f"const a = {a}\nobserve(x) = (a * x[1],)\n") for a in (1, 3)
    )
    assert (first.values(x, 1).item(), second.values(x, 1).item()) == (2.0, 6.0)
