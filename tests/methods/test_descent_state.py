"""The file of a descent: what it keeps, and what makes it another descent's."""

from dataclasses import replace

import numpy as np
import pytest
from problems import random_points, twin_problem

from pyvda.engine import CostSettings
from pyvda.errors import InputError
from pyvda.methods.descent_state import DescentState, fingerprint
from pyvda.methods.fsgd import FSGDOptions
from pyvda.methods.problem import Problem
from pyvda.models.registry import get_model


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 2, steps=10, engine="torch")


def state(key: str = "a key") -> DescentState:
    rng = np.random.default_rng(0)
    return DescentState(
        key, rng.standard_normal((2, 4, 3)), np.array([True, False]), np.array([False, True]),
        np.array([1.5, np.nan]), np.array([100, 50]), rng.standard_normal((3, 4)), 100,
    )  # fmt: skip


def test_it_is_read_as_it_was_written(tmp_path) -> None:
    file = tmp_path / "state.npz"
    state().save(file)
    fresh = replace(state(), x=np.zeros((2, 4, 3)), history=np.empty((0, 4)), done=-1)
    found = fresh.resumed_from(file)
    for name, value in vars(state()).items():
        np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)
    assert isinstance(found.done, int)
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]
    with np.load(file) as stored:
        assert "records" in stored  # as in the files of earlier versions


def test_another_key_or_a_damaged_file_is_refused(tmp_path) -> None:
    file = tmp_path / "state.npz"
    state().save(file)
    with pytest.raises(InputError, match="belongs to other observations or options"):
        state("another").resumed_from(file)
    whole = file.read_bytes()
    for damaged in (whole[:100], b"", b"text", whole.replace(b"records", b"recards")):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="not the state of a descent by pyvda, or is damaged"):
            state().resumed_from(file)


def test_the_fingerprint_depends_on_all_that_the_iterations_do(problem) -> None:
    options, steps = FSGDOptions(iterations=10), np.array([0.5, 0.5])
    usual = fingerprint(problem, options, steps)
    assert usual == fingerprint(problem, FSGDOptions(iterations=10), steps.copy())
    batch = problem.batch
    moved = np.asarray(batch.first_guess).copy()
    moved[0, 0, 0] += 1e-12
    others = [
        fingerprint(problem, FSGDOptions(iterations=11), steps),
        fingerprint(problem, options, np.array([0.5, 0.25])),
        fingerprint(replace(problem, model=get_model("lorenz63", rho=20.0)), options, steps),
        fingerprint(replace(problem, cost=CostSettings(0.02)), options, steps),
        fingerprint(replace(problem, batch=replace(batch, first_guess=moved)), options, steps),
        fingerprint(replace(problem, batch=replace(batch, mask=2 * batch.mask)), options, steps),
        fingerprint(
            replace(problem, batch=replace(batch, points=random_points(3, 2, 10))), options, steps
        ),
    ]
    assert len({usual, *others}) == 8
