from pathlib import Path

import pytest
import yaml
from field_models import configuration

from pyvda.errors import InputError
from pyvda.fields.learned.configuration import FieldConfiguration, FieldSource
from pyvda.training.configuration import read_yaml
from pyvda.training.train import train
from pyvda.validation_errors import validated

EXPERIMENTS = sorted((Path(__file__).parents[3] / "experiments/fields").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_is_valid_and_has_the_kind_of_its_name(path) -> None:
    contents = read_yaml(path, "configuration", "sections")
    assert path.stem.endswith(validated(FieldConfiguration, contents, str(path)).network.kind)


def test_a_file_alone_is_enough() -> None:
    found = validated(FieldConfiguration, {"field": {"observations": "a.nc"}}, "here")
    assert found.network.kind == "unet"
    assert validated(FieldConfiguration, found.model_dump(mode="json"), "here") == found


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"field": {"observation": "b.nc"}}, "observation"),
        ({"network": {"kind": "resnet"}}, "kind"),
        ({"network": {"kind": "variational", "widths": [3]}}, "widths"),
        ({"training": {"select": "r_score"}}, "select"),
        ({"optimiser": {"solver_rate": 0.1}}, "solver_rate"),
        ({"optimiser": {"schedule": "step"}}, "steps_at"),
        ({"field": {"validation": 1.5}}, "validation"),
        ({"prior": {"kind": "genn"}}, "prior"),
        ({"network": {"kind": "stack"}, "field": {"first_guess": "mean"}}, "weighs interpol"),
        ({"network": {"kind": "stack", "days": 2}}, "days"),
        (
            {"network": {"kind": "stack"}, "field": {"ends": 0.5}},
            "but network.days is 0; leave it out$",
        ),
        ({"network": {"days": 0}, "field": {"ends": 0.5}}, "or let network.days be at least 1"),
        ({"network": {"kind": "stack"}, "field": {"augment": ["sign y", "x"]}}, "augment has x,"),
    ],
)
def test_what_is_misspelt_or_has_no_effect_is_refused(sections, said, tmp_path) -> None:
    contents = configuration("obs.nc") | {k: v for k, v in sections.items() if k == "prior"}
    for name, section in sections.items():
        contents[name] = contents.get(name, {}) | section
    if contents["network"].get("kind") != "unet":
        contents["network"].pop("widths", None) if said != "widths" else None
        contents["network"].pop("days", None) if said != "days" else None
    path = tmp_path / "field.yaml"
    path.write_text(yaml.safe_dump(contents))
    with pytest.raises(InputError, match=said) as refused:
        train(path, tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_even_kernels_are_refused() -> None:
    network = {"kind": "variational", "width": [3, 4, 3]}
    with pytest.raises(InputError, match="odd"):
        validated(
            FieldConfiguration, {"field": {"observations": "a.nc"}, "network": network}, "here"
        )


@pytest.mark.parametrize(
    ("field", "network", "said"),
    [
        ({"augment": ["sign z"]}, {}, "turned has z"),
        ({"augment": [""]}, {}, "turned has an empty string"),
        ({"truth": "t.nc"}, {"together": True}, "together is true"),
        ({"first_guess": "mean"}, {"together": True}, "together is true"),
    ],
)
def test_what_cannot_be_turned_or_estimated_together_is_refused(field, network, said) -> None:
    given = {
        "field": {"observations": "a.nc"} | field, "network": {"kind": "unet"} | network,
    }  # fmt: skip
    with pytest.raises(InputError, match=said):
        validated(FieldConfiguration, given, "here")


def test_what_is_turned() -> None:
    def turns(augment):
        return FieldSource(observations="a.nc", augment=augment).turns()

    assert turns(True) == (("sign",), ("time",), ("y",), ("x",))
    assert turns(False) == ()
    assert turns(["sign y", "x"]) == (("sign", "y"), ("x",))
