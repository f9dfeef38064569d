"""Observations that differ from those a learned model was trained for are reported."""

import re
import warnings

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda import twin, twin_observations
from pyvda.cli.main import main
from pyvda.io.netcdf import open_dataset
from pyvda.learned.architecture import Architecture
from pyvda.learned.description import Pattern
from pyvda.learned.model import LearnedModel
from pyvda.learned.patterns import PatternWarning, differences, rule, unlike_trained
from pyvda.models.registry import get_preset
from pyvda.validation_errors import validated

PRESETS = ("lorenz63", "lorenz63-blanked", "lorenz96")
RNG = np.random.default_rng(8)


def pattern(name: str) -> Pattern:
    return Pattern.of(name, get_preset(name))


def mask(name: str, windows: int = 12, **changes: int) -> np.ndarray:
    """Where a preset observes; made by the function that makes observation files."""
    setting = get_preset(name)
    truth = np.zeros((windows, setting.steps, setting.model.state_size))
    ds = xr.Dataset({"truth": (("window", "time", "state"), truth)})
    return np.isfinite(twin_observations.observe(ds, name, 3, **changes)["observation"].values)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("windows", [1, 12])
def test_the_trained_observations_are_no_difference(name, windows) -> None:
    assert differences(mask(name, windows), 2.0, pattern(name)) == []
    assert differences(mask(name, windows), None, pattern(name)) == []


@pytest.mark.parametrize("name", PRESETS)
def test_a_datum_missing_here_and_there_is_no_difference(name) -> None:
    observed = mask(name, 40)
    observed &= RNG.random(observed.shape) > 0.03
    assert differences(observed, 2.0, pattern(name)) == []


def test_one_missing_datum_of_one_window_is_no_difference() -> None:
    for step in range(0, 200, 8):
        observed = mask("lorenz63", 1)
        observed[0, step] = False
        assert differences(observed, 2.0, pattern("lorenz63")) == [], step


def test_windows_without_observations_are_left_to_their_status() -> None:
    observed = mask("lorenz63")
    observed[3] = False
    assert differences(observed, 2.0, pattern("lorenz63")) == []
    assert differences(np.zeros_like(observed), 2.0, pattern("lorenz63")) == []


def changed(kind: str) -> np.ndarray:
    observed = mask("lorenz63")
    if kind == "component":
        return observed[:, :, [1, 0, 2]]
    if kind == "all components":
        return observed | observed[:, :, :1]
    if kind == "every step":
        observed[:, :, 0] = True
    elif kind == "irregular":
        observed[:] = False
        for row in observed:
            row[RNG.choice(200, 25, replace=False), 0] = True
    elif kind == "a third missing":
        observed &= RNG.random(observed.shape) > 0.34
    elif kind == "fixed":
        observed = np.zeros((12, 200, 40), bool)
        observed[:, ::4, ::2] = True
    elif kind == "shorter":
        return observed[:, :120]
    return observed


@pytest.mark.parametrize(
    ("observed", "variance", "trained", "expected"),
    [
        (changed("component"), 2.0, "lorenz63", ["components 1 observed, trained on 0"]),
        (changed("all components"), 2.0, "lorenz63", ["components 0, 1, 2 observed, trained on 0"]),
        (changed("every step"), 2.0, "lorenz63", ["every step, trained on every 8 steps"]),
        (mask("lorenz63", every=16), 2.0, "lorenz63", ["every 16 steps, trained on every 8 steps"]),
        (changed("irregular"), 2.0, "lorenz63", ["irregular times"]),
        (changed("a third missing"), 2.0, "lorenz63", ["3\\d % of the trained data missing"]),
        (changed("shorter"), 2.0, "lorenz63", ["windows of 120 steps, trained on 200"]),
        (mask("lorenz63"), 4.0, "lorenz63", ["error variance 4, trained on 2"]),
        (
            mask("lorenz63-blanked"), 2.0, "lorenz63",
            ["first observed at step 16, trained on 0", "last observed at step 184, trained on 19"],
        ),
        (
            mask("lorenz63"), 3.0, "lorenz63-blanked",
            ["at step 0, trained on 16", "at step 192, trained on 184", "error variance 3"],
        ),
        (mask("lorenz96") | True, 2.0, "lorenz96", ["every step", "40 components"]),
        (
            changed("fixed"), 2.0, "lorenz96",
            ["always the same components observed, trained on 20 drawn"],
        ),
    ],
)  # fmt: skip
def test_each_difference_is_named_and_nothing_else(observed, variance, trained, expected) -> None:
    found = differences(observed, variance, pattern(trained))
    assert len(found) == len(expected), found
    for text, match in zip(found, expected, strict=True):
        assert re.search(match, text)


@pytest.mark.parametrize("name", PRESETS)
def test_gaps_that_were_trained_are_no_difference(name) -> None:
    trained = Pattern.of(name, get_preset(name), missing=0.5)
    everything = mask(name, 40)
    assert differences(everything, 2.0, trained) == []
    for share in (0.25, 0.5):
        kept = everything & (RNG.random(everything.shape) >= share)
        assert differences(kept, 2.0, trained) == []
        assert differences(kept, 2.0, pattern(name)) != []


@pytest.mark.parametrize("windows", [1, 12])
@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (slice(100, None), "in a row"),
        (slice(50, 150), "in a row"),
        ([t for t in range(200) if t % 16], "at regular intervals"),
    ],
)
def test_gaps_of_another_kind_than_were_trained_are_named(gone, said, windows) -> None:
    trained = Pattern.of("lorenz63", get_preset("lorenz63"), missing=0.6)
    observed = mask("lorenz63", windows)
    observed[:, gone] = False
    found = differences(observed, 2.0, trained)
    assert found == [f"data missing {said}, trained on data missing here and there"]


def test_edges_without_data_are_no_independent_losses() -> None:
    trained = Pattern.of("lorenz63", get_preset("lorenz63"), missing=0.6)
    assert "in a row" in "".join(differences(mask("lorenz63-blanked"), 2.0, trained))


@pytest.mark.parametrize("windows", [1, 4])
def test_chance_in_few_windows_is_no_difference(windows) -> None:
    trained = Pattern.of("lorenz63", get_preset("lorenz63"), missing=0.6)
    everything = mask("lorenz63", windows)
    found = [
        differences(everything & (RNG.random(everything.shape) >= share), 2.0, trained)
        for share in (0.1, 0.3, 0.5)
        for _ in range(100)
    ]
    assert sum(map(bool, found)) <= 6


@pytest.mark.parametrize("share", [0.6, 0.77])
@pytest.mark.parametrize("windows", [3, 40])
def test_many_data_missing_on_the_trained_grid_are_missing(share, windows) -> None:
    observed = mask("lorenz63", windows)
    observed &= np.random.default_rng(1).random(observed.shape) >= share
    (found,) = differences(observed, 2.0, pattern("lorenz63"))
    assert re.fullmatch(r"\d\d % of the trained data missing", found)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lorenz63", r"^(6|7)\d % of the trained data missing, trained on up to 50 %$"),
        ("lorenz96", r"^6\.\d+ components observed at a time, trained on 20$"),
    ],
)
def test_more_gaps_than_were_trained_are_named(name, said) -> None:
    observed = mask(name, 40)
    observed &= RNG.random(observed.shape) >= 0.67
    found = differences(observed, 2.0, Pattern.of(name, get_preset(name), missing=0.5))
    assert len(found) == 1
    assert re.search(said, found[0]), found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A learned model for `lorenz63`, its observations, and others."""
    path = tmp_path_factory.mktemp("patterns")
    sections = {"prior": {"kind": "rk4"}, "solver": {"kind": "lstm"}}
    architecture = validated(Architecture, sections, "here")
    LearnedModel(architecture, pattern("lorenz63"), 0.0, 8.0, 2).save(path / "model")
    truth = twin.simulate("lorenz63", 4, 5)
    pyvda.save_analysis(twin_observations.observe(truth, "lorenz63", 6), path / "same.nc")
    pyvda.save_analysis(
        twin_observations.observe(truth, "lorenz63-blanked", 6, variance=1.0), path / "other.nc"
    )
    return path


def test_a_warning_and_an_attribute_and_the_analysis_nonetheless(folder) -> None:
    observed = pyvda.open_observations(folder / "other.nc")
    with pytest.warns(PatternWarning, match=r"first .*; last .*; error variance 1") as caught:
        analysis = pyvda.assimilate(observed, checkpoint=folder / "model")
    assert caught[0].filename == __file__  # the user's line, not one of pyvda's
    assert "trained on 0; last observed" in analysis.attrs["pyvda_pattern_difference"]
    assert np.isfinite(analysis["analysis"].values).all()


def test_the_trained_pattern_is_silent_in_blocks_too(folder) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PatternWarning)
        for chunks in (None, {"window": 1}):
            observed = pyvda.open_observations(folder / "same.nc", chunks=chunks)
            analysis = pyvda.assimilate(observed, checkpoint=folder / "model")
            assert "pyvda_pattern_difference" not in analysis.attrs


def test_the_command_line_says_it_in_one_line(folder, tmp_path, monkeypatch, capsys) -> None:
    arguments = ["pyvda", "assimilate", str(folder / "other.nc"), "--checkpoint",
                 str(folder / "model"), "-o", str(tmp_path / "analysis.nc")]  # fmt: skip
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (None, 0)
    said = "pyvda: the observations are not those that the checkpoint"
    (line,) = (one for one in capsys.readouterr().err.splitlines() if one.startswith(said))
    attrs = open_dataset(tmp_path / "analysis.nc").attrs
    assert attrs["pyvda_pattern_difference"] in line


# The pattern of a file that is trained on.


def of_file(observed: np.ndarray, variance: float | None = None) -> Pattern:
    own = {"steps": observed.shape[1], "state_size": observed.shape[2], "variance": variance}
    return pattern("lorenz63").model_copy(update=own | rule(observed))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("windows", [2, 12])
def test_a_files_rule_is_that_of_its_preset(name, windows) -> None:
    """Also where a datum is missing here and there."""
    expected = pattern(name).model_dump()
    observed = mask(name, windows)
    gappy = observed & (np.random.default_rng(1).random(observed.shape) > 0.02)
    for found in (rule(observed), rule(gappy)):
        assert found == {field: expected[field] for field in found}


def test_irregular_times_are_known_by_their_share() -> None:
    def observed(share: float, component: int = 0) -> np.ndarray:
        found = RNG.random((40, 100, 3)) < share
        found[..., np.arange(3) != component] = False
        return found

    trained = of_file(observed(0.1))
    assert trained.coverage == (pytest.approx(0.1, abs=0.02), 0.0, 0.0)
    assert differences(observed(0.1), 2.0, trained) == []  # the trained variance is not known
    (fewer,) = differences(observed(0.05), None, trained)
    assert re.match(r"component 0 observed at (4|5)\.?\d* % of the steps, trained on", fewer)
    assert len(differences(observed(0.1, component=1), None, trained)) == 1
    assert differences(observed(0.1)[:, :50], None, trained) == [
        "windows of 50 steps, trained on 100"
    ]


def test_windows_cut_at_any_phase_are_no_difference() -> None:
    """A series observed every 8 steps, in windows that start every 100."""
    series = np.arange(40_000) % 8 == 3
    windows = np.zeros((400, 100, 3), bool)
    windows[..., 0] = series.reshape(400, 100)
    assert differences(windows[200:], None, of_file(windows[:200])) == []
    assert differences(windows[300:301], None, of_file(windows[:200])) == []


def test_states_alone_have_no_observations_to_differ_from() -> None:
    trained = of_file(np.zeros((4, 20, 3), bool))
    assert trained.coverage == ()
    assert differences(RNG.random((4, 20, 3)) < 0.3, 2.0, trained) == []


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("missing", [0.0, 0.6])
def test_windows_of_the_training_are_not_unlike_it(name, missing) -> None:
    trained = Pattern.of(name, get_preset(name), missing=missing)
    assert not unlike_trained(mask(name, 40), 2.0, trained).any()
    assert not unlike_trained(mask(name, 40), None, trained).any()


@pytest.mark.parametrize("missing", [0.0, 0.6])
def test_single_windows_unlike_the_training_are_found(missing) -> None:
    trained = Pattern.of("lorenz63", get_preset("lorenz63"), missing=missing)
    observed = mask("lorenz63", 6)
    observed[1, 100:] = False  # a second half that is missing
    observed[2] = np.roll(observed[2], 3, axis=0)  # other times
    observed[3] = np.roll(observed[3], 1, axis=1)  # another component
    observed[4, :, 0] = True  # many more data
    found = unlike_trained(observed, 2.0, trained)
    assert found.tolist() == [False, True, True, True, True, False]
    assert unlike_trained(observed, 8.0, trained).all()
    assert unlike_trained(observed[:, :100], 2.0, trained).all()


def test_losses_in_any_order_are_not_unlike_a_training_with_them() -> None:
    trained = Pattern.of("lorenz63", get_preset("lorenz63"), missing=0.6)
    everything = mask("lorenz63", 2000)
    kept = RNG.random(everything.shape) >= RNG.uniform(0, 0.6, (2000, 1, 1))
    assert unlike_trained(everything & kept, 2.0, trained).sum() <= 2


def test_shares_of_irregular_times_are_compared_window_by_window() -> None:
    random = np.random.default_rng(0).random((300, 100, 2)) < [0.3, 0.1]
    trained = of_file(random)
    found = random.copy()
    found[5, :, 0] = False
    assert np.flatnonzero(unlike_trained(found, None, trained)).tolist() == [5]
