"""The maps of figure 4 show the given data, states on one scale and errors on another."""

import numpy as np
import pytest

from pyvda.paper.error_maps import error_limit, state_and_error_maps, typical_window
from pyvda.paper.figure_data import of_maps
from pyvda.paper.figures import Drawn, Reconstruction

pytestmark = pytest.mark.filterwarnings("error")
RNG = np.random.default_rng(12)
LOOKS = [Drawn("one", "#D55E00"), Drawn("two", "#56B4E9"), Drawn("three", "#009E73"),
         Drawn("four", "#CC79A7")]  # fmt: skip


def windows(count=3, steps=48, size=12, solvers=4):
    """Truth, observations of every other component every fourth step, reconstructions."""
    truth = 5 * RNG.normal(size=(count, steps, size))
    observation = np.full_like(truth, np.nan)
    observation[:, ::4, ::2] = truth[:, ::4, ::2]
    found = [
        Reconstruction(look, truth + RNG.normal(size=truth.shape) / n)
        for n, look in enumerate(LOOKS[:solvers], 1)
    ]
    return found, truth, observation


def test_states_share_one_scale_and_errors_another() -> None:
    found, truth, observation = windows()
    figure = state_and_error_maps(of_maps(found, truth, observation, time_step=0.05, window=1))
    axes = np.array(figure.axes[:16]).reshape(4, 4)
    largest, limit = np.abs(truth[1]).max(), error_limit(found, truth, 1)
    shown = [(axes[2 * (n // 4), n % 4], axes[2 * (n // 4) + 1, n % 4]) for n in range(5)]
    assert {upper.images[0].get_clim() for upper, _ in shown} == {(-largest, largest)}
    assert {lower.images[0].get_clim() for _, lower in shown[1:]} == {(0.0, limit)}
    assert not axes[2, 1].get_visible()  # truth and four solvers: the rest is empty
    for (upper, lower), one in zip(shown[1:], found, strict=True):
        error = np.abs(one.x[1] - truth[1])
        np.testing.assert_allclose(upper.images[0].get_array(), one.x[1].T)
        np.testing.assert_allclose(lower.images[0].get_array(), error.T)
        assert upper.get_title() == one.solver.label
        assert lower.get_title() == f"|error|, R = {np.mean(error**2):.2f}"  # of all that is shown
    assert axes[0, 0].get_title() == "truth"
    seen = np.ma.filled(axes[1, 0].images[0].get_array(), np.nan)
    np.testing.assert_allclose(seen, observation[1, ::4].T)
    assert axes[1, 0].images[0].get_clim() == (-largest, largest)
    labels = [axis.get_ylabel() for axis in figure.axes[16:]]
    assert labels[0] == "state"
    assert labels[1] == f"absolute error (99 % are below {limit:.2g})"


def test_error_colours_distinguish_the_errors() -> None:
    found, truth, _ = windows()
    errors = np.concatenate([np.abs(one.x[0] - truth[0]).ravel() for one in found])
    limit = error_limit(found, truth, 0)
    assert np.mean(errors > limit) == pytest.approx(0.01, abs=0.002)
    found[0].x[0, 0, 0] += 1e3  # one error out of bounds leaves the colours of the others
    assert error_limit(found, truth, 0) == pytest.approx(limit, rel=0.02)


def test_the_window_is_that_of_the_best_solvers_median() -> None:
    truth = np.zeros((5, 4, 2))
    errors = {"worse": [3.0, 3.0, 3.0, 3.0, 3.0], "best": [9.0, 0.1, 0.3, 0.2, 0.4]}
    found = [
        Reconstruction(look, truth + np.sqrt(each)[:, None, None])
        for look, each in zip(LOOKS, errors.values(), strict=False)
    ]
    assert typical_window(found, truth) == 2


def test_without_solvers_there_is_the_truth() -> None:
    _, truth, observation = windows(solvers=0)
    figure = state_and_error_maps(of_maps([], truth, observation, time_step=0.05))
    assert [axis.get_title() for axis in figure.axes[:2]] == ["truth", "observations"]
