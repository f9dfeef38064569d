"""Local analyses in torch: the dense formula of one centre, and what the Julia engine computes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import sqrtm

from pyvda.engine import get_engine
from pyvda.engine.data import LocalCentres
from pyvda.engine.torch.letkf import local_analyses
from pyvda.methods.letkf import rotation
from pyvda.methods.localisation import localised
from pyvda.models.registry import get_model
from pyvda.operators.localisation import gaspari_cohn
from pyvda.state.space import StateSpace, Variable

N = 11


def data_of(model, radius, stride, count: int, seed: int = 0, unit="points"):
    """Return three ensembles (N, D), S (p, N), d, places and centres."""
    rng = np.random.default_rng(seed)
    where = localised(model, radius, stride, unit=unit)
    ensembles = [rng.standard_normal((N, model.state_size)) + 3 for _ in range(3)]
    at = rng.choice(np.flatnonzero(model.sea), count)
    S = (ensembles[0] - ensembles[0].mean(0))[:, at].T / 0.6
    return ensembles, S, rng.standard_normal(count), where.place[at], where.centres


def test_of_one_centre_it_is_the_formula_of_hunt_et_al() -> None:
    ensembles, S, d, place, centres = data_of(get_model("lorenz96"), 4.0, 1, 30)
    found = [members.copy() for members in ensembles]
    local_analyses(found, S, d, place, centres, inflation=1.2)
    c = 17
    i = int(centres.component[c])
    distance = np.abs(place[:, 0] - centres.place[c, 0])
    rho = gaspari_cohn(np.minimum(distance, centres.period[0] - distance), 2.0)
    P = np.linalg.inv((N - 1) / 1.2**2 * np.eye(N) + S.T @ (rho[:, None] * S))
    w = P @ S.T @ (rho * d)
    root = np.real(sqrtm((N - 1) * P))
    for members, new, scale in zip(ensembles, found, (1.0, 1.2, 1.2), strict=True):
        X = members[:, i] - members[:, i].mean()
        expected = members[:, i].mean() + (X @ w + root @ X) / scale
        np.testing.assert_allclose(new[:, i], expected, rtol=1e-11)


def test_the_finite_size_inflation_is_one_without_data_and_grows_with_the_misfit() -> None:
    ensembles, S, d, place, centres = data_of(get_model("lorenz96"), 4.0, 1, 30)
    spread = []
    for innovation in (0 * d, d, 10 * d):
        found = [members.copy() for members in ensembles]
        local_analyses(found, S, innovation, place, centres, inflation=None)
        spread.append(found[0].std(0).mean())
    assert spread[0] < spread[1] < spread[2]
    wrong = [members.copy() for members in ensembles]
    local_analyses(wrong, S, 1e4 * d, place, centres, inflation=None)
    assert (wrong[0].std(0) <= 2 * ensembles[0].std(0)).all()
    same = [members.copy() for members in ensembles]
    local_analyses(same, S[:0], d[:0], place[:0], centres, inflation=None)
    np.testing.assert_allclose(same[0], ensembles[0], rtol=1e-13)


@pytest.mark.julia
@pytest.mark.parametrize("inflation", [1.0, 1.1, None])
@pytest.mark.parametrize(
    ("name", "sizes", "radius", "stride"),
    [("lorenz96", {}, 4.0, 1), ("lorenz96", {}, None, 1), ("quasi-geostrophic", {"n": 17}, 2.0, 1),
     ("quasi-geostrophic", {"n": 17}, 3.0, 3),
     ("lorenz96-two-scale", {"K": 9, "J": 3}, {"k": 2.0}, 2)],
)  # fmt: skip
def test_both_engines_are_the_same(name, sizes, radius, stride, inflation) -> None:
    model = get_model(name, **sizes)
    ensembles, S, d, place, centres = data_of(model, radius, stride, 40)
    mixing = rotation(N, 1)
    found = []
    for engine in (get_engine("julia"), get_engine("torch")):
        found.append([members.copy() for members in ensembles])
        engine.local_analyses(found[-1], S, d, place, centres, inflation=inflation, rotation=mixing)
    for one, other, before in zip(*found, ensembles, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(one[:, ~model.sea], before[:, ~model.sea])


@pytest.mark.parametrize("engine", [pytest.param("julia", marks=pytest.mark.julia), "torch"])
def test_arrays_that_do_not_fit_are_refused(engine: str) -> None:
    ensembles, S, d, place, centres = data_of(get_model("lorenz96"), 4.0, 1, 5)
    run = get_engine(engine).local_analyses
    for wrong, said in (
        ((ensembles, S[:, 1:], d, place, centres), "sensitivity has shape"),
        ((ensembles, S, d[1:], place, centres), "innovation has shape"),
        ((ensembles, S, d, place[1:], centres), "place has shape"),
        ((ensembles, S * np.nan, d, place, centres), "NaN or infinite"),
        (([ensembles[0].T], S, d, place, centres), "an ensemble is"),
    ):
        with pytest.raises(ValueError, match=said):
            run(*wrong)


@pytest.mark.julia
def test_julia_checks_the_centres_itself() -> None:
    ensembles, S, d, place, centres = data_of(get_model("lorenz96"), 4.0, 1, 5)
    outside = centres.component.copy()
    outside[3] = 40
    wrong = LocalCentres(
        centres.place, centres.period, centres.first, outside, centres.coefficient, centres.colours
    )
    with pytest.raises(ValueError, match="a centre has a component outside the 40 of the state"):
        get_engine("julia").local_analyses(ensembles, S, d, place, wrong)


@pytest.mark.julia
@pytest.mark.parametrize("stride", [1, 3])
def test_both_engines_are_the_same_on_the_sphere(stride) -> None:
    model = get_model("quasi-geostrophic", n=17)
    points = (("lat", tuple(np.linspace(50, 82, 17))), ("lon", tuple(np.linspace(160, 208, 17))))
    grid = Variable("psi", ("lat", "lon"), (17, 17))
    space = StateSpace((grid,), model.state_space.land, coordinates=points)
    model = replace(model, state_space=space)
    ensembles, *given = data_of(model, 200.0, stride, 60, unit="km")
    found = []
    for engine in ("torch", "julia"):
        members = [one.copy() for one in ensembles]
        get_engine(engine).local_analyses(members, *given, inflation=1.1, rotation=None)
        found.append(members)
    assert np.abs(found[0][0] - ensembles[0]).max() > 0.1
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
