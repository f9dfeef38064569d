"""Centres of local analyses: shares, land, colours, and distances on lines, circles, the sphere."""

from types import SimpleNamespace

import numpy as np
import pytest

from pyvda.engine.data import LocalCentres
from pyvda.errors import InputError
from pyvda.methods.localisation import localised
from pyvda.models.registry import get_model
from pyvda.operators.sparse_rows import SparseRows
from pyvda.state.space import StateSpace, Variable

REACH = np.sqrt(10 / 3)
MODELS = [
    ("lorenz96", {}, 4.0, 1), ("lorenz96", {}, 4.0, 3), ("lorenz96", {"state_size": 7}, 2.0, 9),
    ("quasi-geostrophic", {"n": 17}, 3.0, 1), ("quasi-geostrophic", {"n": 17}, 3.0, 3),
    ("quasi-geostrophic", {"n": 17}, {"x": 3.0}, {"x": 4}),
    ("lorenz96-two-scale", {"K": 9, "J": 3}, {"k": 2.0}, 2), ("lorenz96", {}, None, 1),
]  # fmt: skip


def entries(centres: LocalCentres) -> np.ndarray:
    """Return the centre of each entry, (M,)."""
    return np.repeat(np.arange(len(centres.place)), np.diff(centres.first))


@pytest.mark.parametrize(("name", "sizes", "radius", "stride"), MODELS)
def test_shares_add_up_to_one_at_sea_and_colours_share_no_component(
    name, sizes, radius, stride
) -> None:
    model = get_model(name, **sizes)
    centres = localised(model, radius, stride).centres
    total = np.zeros(model.state_size)
    np.add.at(total, centres.component, centres.coefficient)
    np.testing.assert_allclose(total, model.sea)
    assert (centres.coefficient > 0).all()
    assert (np.diff(centres.first) > 0).all()
    of_entry = entries(centres)
    for first, last in zip(centres.colours[:-1], centres.colours[1:], strict=True):
        own = (of_entry >= first) & (of_entry < last)
        pairs = np.unique(np.stack([centres.component[own], of_entry[own]], 1), axis=0)
        assert len(np.unique(pairs[:, 0])) == len(pairs)
    if stride == 1:
        assert (centres.coefficient == 1).all()


def test_a_component_between_centres_is_interpolated_linearly() -> None:
    model = get_model("quasi-geostrophic", n=9)
    where = localised(model, 2.0, 4)
    centres = where.centres
    at = 3 * 9 + 5  # y 3, x 5
    own = centres.component == at
    places = np.round(centres.place[entries(centres)[own]] * REACH * 2).astype(int)
    found = {tuple(p): s for p, s in zip(places.tolist(), centres.coefficient[own], strict=True)}
    expected = {(0, 4): 0.25 * 0.75, (0, 8): 0.25 * 0.25, (4, 4): 0.75 * 0.75, (4, 8): 0.75 * 0.25}
    assert found == pytest.approx(expected)


def test_places_are_in_half_the_reach_and_circles_are_known() -> None:
    where = localised(get_model("lorenz96"), 4.0)
    np.testing.assert_allclose(where.place[:, 0] * 4 * REACH, np.arange(40))
    np.testing.assert_allclose(where.centres.period * 4 * REACH, [40])
    line = localised(get_model("lorenz96"), 4.0, periodic=())
    np.testing.assert_array_equal(line.centres.period, [0])


def test_variables_without_the_dimension_see_all_data() -> None:
    where = localised(get_model("lorenz96-two-scale", K=5, J=3), {"j": 2.0})
    assert np.isnan(where.place[:5]).all()
    assert np.isfinite(where.place[5:]).all()
    assert np.isnan(where.centres.place).sum() == 1
    assert len(where.centres.place) == 1 + 3


def test_a_datum_of_several_components_lies_between_them_across_the_seam_too() -> None:
    where = localised(get_model("lorenz96", state_size=10), 2.0)
    rows = np.zeros((3, 10))
    rows[0, 4], rows[1, [2, 3]], rows[2, [9, 0]] = 1.0, [0.75, 0.25], [0.5, 0.5]
    found = where.of_rows(SparseRows.of(rows))[:, 0] * 2 * REACH
    np.testing.assert_allclose(np.mod(found, 10), [4.0, 2.25, 9.5])


def test_what_does_not_fit_the_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"lorenz63 have no dimensions .* leave radius out"):
        localised(get_model("lorenz63"), 2.0)
    model = get_model("quasi-geostrophic", n=9)
    for options, name in (({"radius": {"z": 1.0}}, "radius"),
                          ({"radius": 1.0, "stride": {"z": 2}}, "stride"),
                          ({"radius": 1.0, "periodic": ("z",)}, "periodic")):  # fmt: skip
        with pytest.raises(InputError, match=f"{name} names the dimension 'z', and .* has y, x"):
            localised(model, **options)


def globe(*variables: Variable, north=60.0):
    """Return a model of variables over latitude and longitude."""
    lat, lon = np.linspace(-60, north, 7), np.arange(0, 360, 30.0)
    coordinates = (("lat", tuple(lat)), ("lon", tuple(lon)))
    return SimpleNamespace(name="globe", state_space=StateSpace(variables, coordinates=coordinates))


def test_kilometres_are_chords_through_the_earth_across_the_seam_too() -> None:
    model = globe(Variable("t", ("level", "lat", "lon"), (2, 7, 12)), Variable("mean"))
    where = localised(model, 300.0, unit="km")
    place = where.place[:-1].reshape(2, 7, 12, 3) * 300 * REACH
    lat, lon = np.radians(60), np.radians(30)
    chord = 2 * 6371 * np.cos(lat) * np.sin(lon / 2)
    for other in (1, 11):
        np.testing.assert_allclose(np.linalg.norm(place[0, 0, 0] - place[1, 0, other]), chord)
    north = np.linalg.norm(place[0, 3, 4] - place[0, 4, 4])
    np.testing.assert_allclose(north, 2 * 6371 * np.sin(np.radians(10)))
    assert np.isnan(where.place[-1]).all()  # a scalar sees all data
    np.testing.assert_array_equal(where.centres.period, np.zeros(3))
    of_entry = entries(where.centres)
    same = np.abs(where.place[where.centres.component] - where.centres.place[of_entry])
    np.testing.assert_array_equal(np.nan_to_num(same), 0)
    assert len(where.centres.place) == 7 * 12 + 1  # levels share theirs


def test_a_stride_counts_points_whatever_the_unit() -> None:
    model = globe(Variable("t", ("lat", "lon"), (7, 12)))
    centres = localised(model, 300.0, {"lon": 3}, ("lon",), "km").centres
    assert len(centres.place) == 7 * 4
    total = np.zeros(84)
    np.add.at(total, centres.component, centres.coefficient)
    np.testing.assert_allclose(total, 1.0)


def test_kilometres_need_latitude_and_longitude() -> None:
    t = Variable("t", ("lat", "lon"), (7, 12))
    with pytest.raises(InputError, match=r"quasi-geostrophic has no coordinates along .* lat"):
        localised(get_model("quasi-geostrophic", n=9), 300.0, unit="km")
    with pytest.raises(InputError, match=r"in km \(radius_unit\) it is one distance"):
        localised(globe(t), {"lat": 300.0}, unit="km")
    with pytest.raises(InputError, match="a lat of globe is 120, expected -90 to 90"):
        localised(globe(t, north=120.0), 300.0, unit="km")
