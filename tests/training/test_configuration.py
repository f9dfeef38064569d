"""The training configuration: every file of experiments/ is valid, every mistake is named."""

from pathlib import Path

import pytest
import yaml

from pyvda.errors import InputError
from pyvda.training.configuration import Configuration, Training, read_configuration
from pyvda.training.schedule import rates
from pyvda.validation_errors import validated

ROOT = Path(__file__).parents[2] / "experiments"
# Tested in tests/fields/learned/test_configuration.py and its like of learned_points.
OF_FIELDS = {ROOT / "fields", ROOT / "points"}
EXPERIMENTS = sorted(path for path in ROOT.rglob("*.yaml") if path.parent not in OF_FIELDS)
SMALL = {"prior": {"kind": "rk4"}, "solver": {"kind": "lstm"}, "loss": {"kind": "supervised"}}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_is_what_its_name_says(path: Path) -> None:
    """<system>[_blanked]_<prior>_<solver>_<loss>, or _<kind of solver>[_small][_gaps]."""
    configuration = read_configuration(path)
    parts = path.stem.split("_")
    preset = configuration.data.preset.split("-")
    assert preset[0] == parts[0]
    assert "blanked" not in parts or preset[1] == "blanked"  # table 1's rows are blanked unnamed
    kind = {"direct": "regression", "shooting": "shooting", "conv": "conv", "lstm": "lstm"}
    named = [kind[part] for part in parts if part in kind]
    assert [configuration.solver.kind] == (named or ["gradient-descent"])
    assert ("genn" in parts) == configuration.prior.kind.endswith("genn")
    losses = [part for part in parts if part in ("supervised", "unsupervised", "identification")]
    assert [configuration.loss.kind] == (losses or ["supervised"])
    assert ("gaps" in parts) == (configuration.data.missing > 0)


def test_there_is_an_experiment_for_every_row_of_the_paper() -> None:
    names = {path.stem for path in EXPERIMENTS}
    rows = {
        f"{system}_{prior}_{solver}_{loss}"
        for system in ("lorenz63", "lorenz96")
        for prior in ("rk4", "genn")
        for solver in ("conv", "lstm")
        for loss in ("supervised", "unsupervised")
    }
    assert rows <= names


def test_the_resolved_configuration_reads_back_as_itself(tmp_path: Path) -> None:
    configuration = validated(Configuration, SMALL, "here")
    path = tmp_path / "resolved.yaml"
    path.write_text(yaml.safe_dump(configuration.model_dump(mode="json")))
    assert read_configuration(path) == configuration


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"optimizer": {}}, "unknown key optimizer"),
        ({"data": {"windws": 3}}, "unknown key data.windws"),
        ({"prior": {"kind": "genn", "widht": 3}}, "unknown key prior.widht"),
        ({"solver": {"kind": "conv", "gates": 3}}, "unknown key solver.gates"),
        ({"training": {"epochs": 0}}, r"training.epochs is 0, but .* greater than or equal to 1"),
        ({"training": {"iterations": {1: 5}}}, "growing epochs from 0"),
        ({"training": {"iterations": {0: 5, 9: 0}}}, "positive"),
        ({"training": {"epochs": 3, "pretraining": 3}}, "all 3 epochs are pretraining"),
        ({"data": {"preset": "lorenz64"}}, "the presets are lorenz63"),
        ({"data": {"seed": 2}}, "validates on training data"),
        ({"loss": {"kind": "identification"}}, "nothing to identify"),
        (
            {
                "loss": {"kind": "identification"},
                "prior": {"kind": "bilinear-rk4"},
                "data": {"missing": 0.5},
            },
            r"data.missing is 0.5, .* uses only states; remove it",
        ),
        ({"optimiser": {"schedule": "step"}}, "steps_at"),
        ({"prior": {"kind": "rk5"}}, "rk5"),
    ],
)
def test_a_mistake_is_named(change: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        validated(Configuration, SMALL | change, "here.yaml")


def test_a_missing_section_is_named() -> None:
    with pytest.raises(InputError, match="the key solver is missing"):
        validated(Configuration, {k: SMALL[k] for k in ("prior", "loss")}, "here.yaml")


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "!!python/object/apply:os.getcwd []"])
def test_what_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"bad\.yaml"):
        read_configuration(path)


def test_the_number_of_iterations_grows() -> None:
    training = Training(iterations={0: 5, 10: 10, 20: 20})
    assert [training.iterations_at(epoch) for epoch in (0, 9, 10, 19, 20, 99)] == [
        5, 5, 10, 10, 20, 20,
    ]  # fmt: skip


def test_rates_follow_the_schedule() -> None:
    optimiser = {"solver_rate": 1.0, "prior_rate": 0.5, "pretraining_rate": 7.0, "final": 0.1}
    training = {"epochs": 12, "pretraining": 2}
    cosine = validated(
        Configuration, SMALL | {"optimiser": optimiser, "training": training}, "here"
    )
    assert rates(cosine, 0, 5) == rates(cosine, 9, 5) == {"solver": 0.0, "prior": 7.0}
    assert rates(cosine, 10, 5) == {"solver": 1.0, "prior": 0.5}
    assert rates(cosine, 59, 5) == pytest.approx({"solver": 0.1, "prior": 0.05})
    middle = rates(cosine, 10 + 24, 5)["solver"]
    assert 0.5 < middle < 0.6

    steps = {"schedule": "step", "steps_at": [4, 8], "factor": 0.1, "warmup": 4}
    stepped = validated(
        Configuration, SMALL | {"optimiser": optimiser | steps, "training": training}, "here"
    )
    assert rates(stepped, 10, 5)["solver"] == pytest.approx(0.25)
    assert [rates(stepped, epoch * 5, 5)["solver"] for epoch in (3, 4, 8)] == pytest.approx(
        [1.0, 0.1, 0.01]
    )
