"""The paper's figures show the data they are given, and the data are those of the solvers."""

import json
import sys
import xml.etree.ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

import pyvda
from pyvda.cli.main import main
from pyvda.learned import shipped
from pyvda.learned.architecture import Architecture
from pyvda.learned.description import Pattern, read_description
from pyvda.learned.model import LearnedModel
from pyvda.models.registry import get_preset
from pyvda.paper import illustrate
from pyvda.paper.error_density import error_density
from pyvda.paper.figure_data import of_errors_and_examples
from pyvda.paper.figures import (
    Drawn,
    Pathway,
    Reconstruction,
    energy_pathways,
    errors_and_examples,
)
from pyvda.paper.held_out import HELD_OUT
from pyvda.paper.rows import TABLES
from pyvda.validation_errors import validated

RNG = np.random.default_rng(11)
ONE, TWO = Drawn("one", "#D55E00"), Drawn("two", "#56B4E9", (0, (4, 1)))
LOOKS = {look.label: look for look in (ONE, TWO)}
pytestmark = pytest.mark.filterwarnings("error")


def windows(count=6, steps=40, size=3):
    """Truth, observations of the first component every fourth step, two reconstructions."""
    truth = RNG.normal(size=(count, steps, size))
    observation = np.full_like(truth, np.nan)
    observation[:, ::4, 0] = truth[:, ::4, 0] + 0.1
    found = [Reconstruction(ONE, truth + RNG.normal(size=truth.shape)),
             Reconstruction(TWO, truth + 0.1 * RNG.normal(size=truth.shape))]  # fmt: skip
    return found, truth, observation


def test_pathways_are_drawn_as_given() -> None:
    iteration = np.array([0.0, 1.0, 10.0, 100.0])
    long = Pathway(ONE, iteration, np.array([50.0, 40.0, 4.0, 3.0]), np.array([1, 0.1, 0.01, 0.01]))
    step = Pathway(TWO, np.array([1.0]), np.array([2.0]), np.array([0.02]))
    figure = energy_pathways({"above": [long, step], "below": [step]})
    error, cost, error_below, _ = figure.axes
    np.testing.assert_array_equal(error.lines[0].get_xdata(), iteration)
    np.testing.assert_array_equal(error.lines[0].get_ydata(), long.r_score)
    np.testing.assert_array_equal(cost.lines[1].get_ydata(), step.cost)
    np.testing.assert_array_equal(error_below.lines[0].get_ydata(), step.r_score)
    assert error.get_yscale() == cost.get_yscale() == "log"
    assert [error.get_title(), error_below.get_title()] == ["above", "below"]
    assert error.lines[0].get_linestyle() != "None"
    assert error.lines[1].get_linestyle() == "None"  # a point
    assert {line.get_marker() for line in error.lines} == {"o"}
    assert "own Φ" in cost.get_ylabel()
    assert [text.get_text() for text in figure.legends[0].texts] == ["one", "two"]
    # Iteration 0 has a place of its own, and from 1 on decades are equally long.
    at = error.transData.transform([[x, 1.0] for x in (0.0, 1.0, 10.0, 100.0)])[:, 0]
    assert at[0] < at[1]
    assert at[3] - at[2] == pytest.approx(at[2] - at[1], rel=1e-6)


def test_densities_are_those_of_the_errors() -> None:
    found, truth, observation = windows(count=50)
    data = of_errors_and_examples(found, truth, observation, time_step=0.01)
    figure = errors_and_examples(data, LOOKS)
    for component, axis in enumerate(figure.axes[:3]):
        for one, line in zip(found, axis.lines, strict=True):
            error = (one.x - truth)[..., component]
            x, density = (np.asarray(v) for v in (line.get_xdata(), line.get_ydata()))
            np.testing.assert_allclose(np.nan_to_num(density), error_density(error, x))
        assert axis.get_xlabel() == f"error of $x_{{{component + 1}}}$"


def test_examples_are_truth_observations_and_chosen_solvers() -> None:
    found, truth, observation = windows()
    data = of_errors_and_examples(
        found, truth, observation, time_step=0.5, windows=(1, 4), examples=("two",)
    )
    figure = errors_and_examples(data, LOOKS)
    axes = np.array(figure.axes[3:]).reshape(3, 2)
    for row in range(3):
        for column, window in enumerate((1, 4)):
            lines = axes[row, column].lines
            assert len(lines) == (3 if row == 0 else 2)  # only the first is observed
            np.testing.assert_array_equal(lines[0].get_ydata(), truth[window, :, row])
            np.testing.assert_array_equal(lines[1].get_ydata(), found[1].x[window, :, row])
            np.testing.assert_array_equal(lines[0].get_xdata(), 0.5 * np.arange(40))
    np.testing.assert_array_equal(axes[0, 1].lines[2].get_ydata(), observation[4, :, 0])
    (legend,) = [legend for sub in figure.subfigs for legend in sub.legends]  # of both parts
    assert [t.get_text() for t in legend.texts] == ["one", "two", "truth", "observations"]


def test_every_solver_has_a_look_of_its_own() -> None:
    for source in (source for sources in illustrate.FIGURES.values() for source in sources):
        assert set(source.keys) <= {row.key for row in TABLES[source.table].rows}
        looks = [illustrate.LOOKS[key] for key in source.keys]
        assert len({look.label for look in looks}) == len(source.keys)
    looks = list(illustrate.LOOKS.values())
    assert len({look.colour for look in looks}) == len(looks)
    labels = [look.label for look in illustrate.LOOKS.values()]
    assert set(illustrate.EXAMPLES) <= set(labels)


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """Two small shipped models."""
    folder = tmp_path / "weights"
    for preset, name in (("lorenz63-blanked", "rk4-conv"), ("lorenz96", "rk4-conv")):
        torch.manual_seed(0)
        sections = {"prior": {"kind": "rk4"}, "solver": {"kind": "conv"}}
        architecture = validated(Architecture, sections, "here")
        pattern = Pattern.of(preset, get_preset(preset))
        LearnedModel(architecture, pattern, 2.0, 8.0, 3).save(folder / f"{preset}-{name}")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


def test_a_pathway_is_that_of_analyses_of_fewer_iterations(weights) -> None:
    truth, observed = HELD_OUT["lorenz63-blanked"].make(3)
    row = next(row for row in TABLES["table1"].rows if row.key == "rk4-conv")
    checkpoint = weights / "lorenz63-blanked-rk4-conv"
    path = illustrate._pathway(
        row, checkpoint, truth, observed, {"checkpoint": checkpoint}, lambda done, total: None
    )
    np.testing.assert_array_equal(path.iteration, [0, 1, 2, 3])
    for k in (0, 2, 3):
        analysis = pyvda.assimilate(observed, checkpoint=checkpoint, iterations=k)
        found = pyvda.evaluate(analysis, truth)
        assert path.r_score[k] == pytest.approx(found["r_score"].mean(), rel=1e-12)
        assert path.cost[k] == pytest.approx(found["four_dvar_score"].mean(), rel=1e-12)


@pytest.mark.parametrize("key", ["direct", "shooting"])
def test_a_regression_is_the_first_iteration(key) -> None:
    truth, observed = HELD_OUT["lorenz63-blanked"].make(3)
    row = next(row for row in TABLES["table1"].rows if row.key == key)
    checkpoint = shipped.FOLDER / f"lorenz63-blanked-{key}"
    path = illustrate._pathway(
        row, checkpoint, truth, observed, {"checkpoint": checkpoint}, lambda done, total: None
    )
    first = pyvda.assimilate(observed, checkpoint=checkpoint, iterations=0)
    expected = pyvda.evaluate(first, truth)["r_score"].mean()
    assert path.iteration[0] == 1
    assert path.r_score[0] == pytest.approx(expected, rel=1e-12)
    assert len(path.iteration) == (
        1 if key == "direct" else read_description(checkpoint).iterations + 1
    )
    np.testing.assert_array_equal(np.diff(path.iteration), 1)


def test_the_pathway_of_a_regression_has_its_cost_under_rk4(tmp_path) -> None:
    """A regression has no Φ."""
    torch.manual_seed(0)
    sections = {"prior": {"kind": "rk4"}, "solver": {"kind": "regression"}}
    pattern = Pattern.of("lorenz63-blanked", get_preset("lorenz63-blanked"))
    LearnedModel(validated(Architecture, sections, "here"), pattern, 2.0, 8.0, 1).save(tmp_path)
    truth, observed = HELD_OUT["lorenz63-blanked"].make(2)
    row = next(row for row in TABLES["table1"].rows if row.key == "direct")
    path = illustrate._pathway(
        row, tmp_path, truth, observed, {"checkpoint": tmp_path}, lambda done, total: None
    )
    found = pyvda.evaluate(pyvda.assimilate(observed, checkpoint=tmp_path), truth)
    assert path.cost[-1] == pytest.approx(found["four_dvar_score"].mean(), rel=1e-12)


@pytest.mark.parametrize("figure", ["figure2", "figure3", "figure4"])
def test_a_figure_from_the_command_line(figure, weights, tmp_path, monkeypatch, capsys) -> None:
    sources = illustrate.FIGURES[figure]
    small = [s._replace(keys=("fsgd", "rk4-conv", "direct"), windows=2) for s in sources]
    monkeypatch.setitem(illustrate.FIGURES, figure, tuple(small))
    for table in {source.table for source in sources}:
        rows = tuple(
            replace(row, quick={"iterations": 20}) if row.key == "fsgd" else row
            for row in TABLES[table].rows
        )
        monkeypatch.setitem(TABLES, table, replace(TABLES[table], rows=rows))
    out = tmp_path / "figures"
    monkeypatch.setattr(sys, "argv", ["pyvda", "reproduce", figure, "--quick", "-o", str(out)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (None, 0)
    printed = capsys.readouterr().out
    assert "direct regression is left out: not trained" in printed
    image = imread(out / f"{figure}.png")
    assert image.shape[0] > 400
    assert image.shape[1] > 700
    assert image[..., :3].std() > 0.05  # not an empty page
    root = xml.etree.ElementTree.parse(out / f"{figure}.svg").getroot()
    assert root.tag.endswith("svg")
    kinds = ["png", "svg", "json"] + (["nc"] if figure != "figure2" else [])
    assert {path.name for path in out.iterdir()} == {f"{figure}.{kind}" for kind in kinds}
    found = json.loads((out / f"{figure}.json").read_text())
    assert found["quick"] is True
    assert found["windows"] == {source.setting: 2 for source in sources}
    used = {f"{source.setting}-rk4-conv" for source in sources}
    assert found["weights"] == {n: read_description(weights / n).digest() for n in used}
    solvers = found["pathways"].values() if figure == "figure2" else [found["solvers"]]
    for of_solvers in solvers:
        assert set(of_solvers) == {"FSGD", "RK4 + Conv"}
        for one in of_solvers.values():
            assert np.isfinite(one["r_score"]).all()
