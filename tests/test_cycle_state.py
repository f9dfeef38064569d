"""What is kept of a cycle is used only for the same run."""

import numpy as np
import pytest
from test_cycled_windows import COMMON, LENGTH, B, linear_model, observations

import pyvda
from pyvda import cycling
from pyvda.errors import InputError
from pyvda.operators import Dense

DS = observations(3 * LENGTH)


def run(folder, ds=DS, **options):
    how = {"covariance": Dense(B), "background": np.ones(3), "members": 5, **options}
    return pyvda.assimilate(
        ds, model=linear_model(), method="incremental", cycle=LENGTH, state=folder, **COMMON, **how
    )


def test_finished_windows_are_not_assimilated_again(tmp_path, monkeypatch) -> None:
    folder, solved = tmp_path / "state", []
    usual = cycling.solve

    def counted(method, problem, *rest):
        solved.append(int(problem.window_numbers()[0]))
        return usual(method, problem, *rest)

    monkeypatch.setattr(cycling, "solve", counted)
    whole = run(folder)
    assert solved == [0, 1, 2]
    (folder / "window-00001.npz").unlink()
    again = run(folder)
    assert solved == [0, 1, 2, 1]
    assert all(whole[name].identical(again[name]) for name in whole.variables)


def test_a_difference_by_rounding_is_the_same_run(tmp_path) -> None:
    """As another number of threads of a linear algebra library makes it."""
    whole = run(tmp_path / "state")
    for path in sorted((tmp_path / "state").iterdir())[1:]:
        with np.load(path) as file:
            arrays = dict(file)
        arrays["computed"] = arrays["computed"] * (1 + 1e-14)
        np.savez(path, **arrays)
    again = run(tmp_path / "state")
    assert all(whole[name].identical(again[name]) for name in whole.variables)


@pytest.mark.parametrize(
    "other",
    [
        {"ds": DS + 1e-9},
        {"covariance": Dense(B + 1e-9)},
        {"background": np.ones(3) + 1e-9},
        {"members": 6},
    ],
)
def test_windows_of_another_run_are_refused(tmp_path, other) -> None:
    run(tmp_path / "state")
    with pytest.raises(InputError, match="belongs to other observations or options"):
        run(tmp_path / "state", **other)


def test_windows_from_another_climatology_are_refused(tmp_path) -> None:
    how = {"background": "climatology", "covariance": None, "ensemble": 5}
    run(tmp_path / "state", climatology=(np.zeros(3), 4.0 * B), **how)
    run(tmp_path / "state", climatology=(np.zeros(3), 4.0 * B), **how)
    with pytest.raises(InputError, match="belongs to other observations or options"):
        run(tmp_path / "state", climatology=(np.ones(3), 4.0 * B), **how)


def test_a_damaged_window_and_a_file_in_place_of_the_folder(tmp_path) -> None:
    run(tmp_path / "state")
    (tmp_path / "state" / "window-00001.npz").write_bytes(b"no")
    with pytest.raises(InputError, match=r"window-00001.npz is not a window of a cycle"):
        run(tmp_path / "state")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="keeps its state in a folder"):
        run(tmp_path / "file")
