"""A number, a vector, a matrix, a file and an operator, all as covariances."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from pyvda.errors import InputError
from pyvda.operators.covariance import Covariance, Dense, Diagonal
from pyvda.operators.covariance_input import CovarianceOption, as_covariance

B = np.array([[2.0, 0.5], [0.5, 1.0]])


class Options(BaseModel):
    model_error: CovarianceOption = 1e-3


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0.5, 0.5 * np.eye(2)),
        (3, 3.0 * np.eye(2)),
        ([1.0, 4.0], np.diag([1.0, 4.0])),
        (B.tolist(), B),
        (Dense(B), B),
    ],
)
def test_every_form_gives_its_matrix(given, expected: np.ndarray) -> None:
    assert np.array_equal(as_covariance(given, 2, "model_error").dense(), expected)
    option = Options(model_error=given).model_error
    assert np.array_equal(as_covariance(option, 2, "model_error").dense(), expected)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"covariance": B}, B),
        ({"variance": [1.0, 4.0]}, np.diag([1.0, 4.0])),
        ({"factor": np.linalg.cholesky(B)}, B),
        ({"members": [[0.0, 0.0], [2.0, 4.0]]}, [[2.0, 4.0], [4.0, 8.0]]),
        ({"covariance": B, "mean": [0.0, 1.0]}, B),
    ],
)
def test_npz_files(arrays: dict, expected: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "q.npz", **arrays)
    assert np.allclose(as_covariance(tmp_path / "q.npz", 2, "model_error").dense(), expected)


def test_npy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "matrix.npy", B)
    np.save(tmp_path / "vector.npy", [1.0, 4.0])
    assert np.array_equal(as_covariance(str(tmp_path / "matrix.npy"), 2, "b").dense(), B)
    assert np.array_equal(as_covariance(tmp_path / "vector.npy", 2, "b").variance(), [1.0, 4.0])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("missing.npz", "model_error: the file 'missing.npz' cannot be read"),
        ([1.0, 2.0, 3.0], "model_error is a covariance of 3 components"),
        ([[1.0, 2.0], [2.0, 1.0]], "model_error: the covariance is not positive definite"),
        ([1.0, -1.0], "model_error: the smallest of the variances is -1.0"),
        (0.0, "model_error: the smallest of the variances is 0.0"),
        ([[[1.0]]], "model_error: expected the covariance in the shape"),
    ],
)
def test_an_invalid_covariance_is_refused(given, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        as_covariance(given, 2, "model_error")
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_a_file_without_a_covariance_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "q.npz", mean=[0.0, 1.0])
    with pytest.raises(InputError, match="contains mean, expected exactly one of"):
        as_covariance(tmp_path / "q.npz", 2, "model_error")


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, True, None, {"a": 1}, [1.0, 0.0]])
def test_the_option_refuses_what_cannot_be_a_covariance(value) -> None:
    with pytest.raises((ValidationError, InputError)):
        Options(model_error=value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (0.5, 0.5),
        ("q.npz", "q.npz"),
        (np.array([1.0, 4.0]), [1.0, 4.0]),
        (Dense(B), B.tolist()),
        (Diagonal(np.ones(100)), "Diagonal of 100 components"),
    ],
)
def test_the_option_is_written_into_a_file(value, plain) -> None:
    assert json.loads(json.dumps(Options(model_error=value).model_dump())) == {"model_error": plain}


def test_a_user_defined_operator_is_used_unchanged() -> None:
    class Twice(Covariance):
        size = rank = 2

        def apply(self, v):
            return 2 * np.asarray(v)

        def sqrt(self, w):
            return np.sqrt(2) * np.asarray(w)

        sqrt_adjoint = sqrt

        def solve(self, v):
            return np.asarray(v) / 2

    own = Twice()
    assert as_covariance(Options(model_error=own).model_error, 2, "model_error") is own
    assert np.array_equal(own.precision(), np.eye(2) / 2)


def test_a_number_in_scientific_notation_is_a_number() -> None:
    """YAML reads `1e-4`, without a point, as text."""

    class Options(BaseModel):
        model_error: CovarianceOption = 1.0

    assert Options(model_error="1e-4").model_error == 1e-4
    with pytest.raises(ValidationError, match="expected a number from"):
        Options(model_error="-1e3")
    assert Options(model_error="Q.npz").model_error == "Q.npz"
